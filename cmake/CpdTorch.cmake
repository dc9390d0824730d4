# The imported target `cpd_torch`: LibTorch's CPU libraries, found through CPD_TORCH_DIR. The wheel's
# own TorchConfig.cmake is not used: it asks for the CUDA toolkit and links every CUDA library.

set(CPD_TORCH_DIR "" CACHE PATH "Folder that holds LibTorch's include/ and lib/")
if(NOT CPD_TORCH_DIR)
  file(GLOB _cpd_torch ${CMAKE_SOURCE_DIR}/.deps/torch-env/lib/python3*/site-packages/torch)
  if(_cpd_torch)
    list(GET _cpd_torch 0 _cpd_torch)
    set(CPD_TORCH_DIR ${_cpd_torch} CACHE PATH "Folder that holds LibTorch's include/ and lib/" FORCE)
  endif()
endif()
if(NOT EXISTS "${CPD_TORCH_DIR}/lib/libtorch_cpu.so")
  message(FATAL_ERROR "LibTorch was not found in '${CPD_TORCH_DIR}'. Run scripts/setup, or give an "
                      "existing one: -DCPD_TORCH_DIR=/path/to/site-packages/torch")
endif()

add_library(cpd_torch INTERFACE)
foreach(_lib c10 torch_cpu)
  add_library(cpd_torch_${_lib} SHARED IMPORTED GLOBAL)
  set_target_properties(cpd_torch_${_lib} PROPERTIES
    IMPORTED_LOCATION ${CPD_TORCH_DIR}/lib/lib${_lib}.so)
  target_link_libraries(cpd_torch INTERFACE cpd_torch_${_lib})
endforeach()
target_include_directories(cpd_torch SYSTEM INTERFACE
  ${CPD_TORCH_DIR}/include ${CPD_TORCH_DIR}/include/torch/csrc/api/include)
target_compile_definitions(cpd_torch INTERFACE USE_DISTRIBUTED AT_PER_OPERATOR_HEADERS)
