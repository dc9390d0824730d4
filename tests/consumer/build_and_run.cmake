# Installs cpd into the build tree, builds the project of this folder against it and runs it; then
# checks what the package says of a LibTorch of another version and of one that is not there.
set(prefix ${CPD_BUILD}/consumer/prefix)
set(build ${CPD_BUILD}/consumer/build)
file(REMOVE_RECURSE ${CPD_BUILD}/consumer)

function(run)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE _status OUTPUT_VARIABLE _text ERROR_VARIABLE _text)
  if(NOT _status EQUAL 0)
    list(JOIN ARGV " " _command)
    message(FATAL_ERROR "${_command} ended with ${_status}:\n${_text}")
  endif()
  set(printed "${_text}" PARENT_SCOPE)
endfunction()

set(settings -G ${GENERATOR} -DCMAKE_CXX_COMPILER=${COMPILER} -DCMAKE_PREFIX_PATH=${prefix})
if(LAUNCHER)
  list(APPEND settings -DCMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER})
endif()
if(SANITIZE)
  list(APPEND settings -DCMAKE_EXE_LINKER_FLAGS=-fsanitize=address,undefined)
endif()

run(${CMAKE_COMMAND} --install ${CPD_BUILD} --prefix ${prefix})
run(${CMAKE_COMMAND} -S ${CMAKE_CURRENT_LIST_DIR} -B ${build} ${settings})
run(${CMAKE_COMMAND} --build ${build})
run(${build}/consumer)
message("${printed}")

function(expect_refusal folder message)
  execute_process(
    COMMAND ${CMAKE_COMMAND} -S ${CMAKE_CURRENT_LIST_DIR} -B ${CPD_BUILD}/consumer/refused ${settings}
            -DCPD_TORCH_DIR=${folder}
    RESULT_VARIABLE _status OUTPUT_VARIABLE _text ERROR_VARIABLE _text)
  string(REGEX REPLACE "[ \n]+" " " _text "${_text}")
  string(FIND "${_text}" "${message}" _place)
  if(_status EQUAL 0 OR _place EQUAL -1)
    message(FATAL_ERROR "expected a refusal with '${message}', but the status is ${_status}:\n${_text}")
  endif()
endfunction()

set(other ${CPD_BUILD}/consumer/other_torch)
file(WRITE ${other}/lib/libtorch_cpu.so "")
file(WRITE ${other}/include/torch/headeronly/version.h
  "#define TORCH_VERSION_MAJOR 2\n#define TORCH_VERSION_MINOR 5\n#define TORCH_VERSION_PATCH 1\n")
expect_refusal(${other} "is 2.5.1. Give the other")
expect_refusal(${CPD_BUILD}/consumer/nowhere "LibTorch was not found in")
