# The imported target `cpd_torch`: LibTorch's CPU libraries, found through CPD_TORCH_DIR. Used by
# cpd's own build and by its installed package. The wheel's own TorchConfig.cmake is not used: it
# asks for the CUDA toolkit and links every CUDA library.

set(CPD_TORCH_DIR "" CACHE PATH "Folder that holds LibTorch's include/ and lib/")

# The version written in the headers of a LibTorch, or an empty text.
function(cpd_read_torch_version folder result)
  set(${result} "" PARENT_SCOPE)
  foreach(_header torch/headeronly/version.h torch/csrc/api/include/torch/version.h)
    if(EXISTS ${folder}/include/${_header})
      file(READ ${folder}/include/${_header} _text)
      set(_numbers "")
      foreach(_part MAJOR MINOR PATCH)
        if(_text MATCHES "#define TORCH_VERSION_${_part} +([0-9]+)")
          list(APPEND _numbers ${CMAKE_MATCH_1})
        endif()
      endforeach()
      list(JOIN _numbers "." _version)
      set(${result} "${_version}" PARENT_SCOPE)
      return()
    endif()
  endforeach()
endfunction()

function(cpd_add_torch folder)
  if(TARGET cpd_torch)
    return()
  endif()
  add_library(cpd_torch INTERFACE IMPORTED GLOBAL)
  foreach(_lib c10 torch_cpu)
    add_library(cpd_torch_${_lib} SHARED IMPORTED GLOBAL)
    set_target_properties(cpd_torch_${_lib} PROPERTIES
      IMPORTED_LOCATION ${folder}/lib/lib${_lib}.so)
    target_link_libraries(cpd_torch INTERFACE cpd_torch_${_lib})
  endforeach()
  target_include_directories(cpd_torch SYSTEM INTERFACE
    ${folder}/include ${folder}/include/torch/csrc/api/include)
  target_compile_definitions(cpd_torch INTERFACE USE_DISTRIBUTED AT_PER_OPERATOR_HEADERS)
endfunction()
