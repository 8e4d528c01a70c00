# Builds and runs the consumer project in a clean folder.
#
#   cmake -D MODE=installed|subproject|pkgconfig -D SOURCE=<repository> -D BUILD=<its build folder> -D WORK=<scratch>
#         -D GENERATOR=<generator> -D COMPILER=<C++ compiler> -P run.cmake
#
# `installed` and `pkgconfig` use what `cmake --install` gives, `subproject` builds the library again, as a shared one and,
# to be quick, without vector instruction sets.
cmake_minimum_required(VERSION 3.25)
set(consumer ${SOURCE}/tests/consumer)

function(run)
  execute_process(COMMAND ${ARGV} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

file(READ ${SOURCE}/README.md readme)
file(READ ${consumer}/main.cpp example)
string(FIND "${readme}" "${example}" at)
if(at EQUAL -1)
  message(FATAL_ERROR "README.md does not show tests/consumer/main.cpp as it is")
endif()

file(REMOVE_RECURSE ${WORK})
file(MAKE_DIRECTORY ${WORK})
set(configure ${CMAKE_COMMAND} -S ${consumer} -B ${WORK}/build -G ${GENERATOR} -D CMAKE_CXX_COMPILER=${COMPILER})
if(MODE STREQUAL "subproject")
  run(${configure} -D BLOCKQUANT_SOURCE_DIR=${SOURCE} -D BUILD_SHARED_LIBS=ON -D BLOCKQUANT_SIMD=OFF)
else()
  run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/prefix)
endif()

if(MODE STREQUAL "pkgconfig")
  file(GLOB_RECURSE pc ${WORK}/prefix/blockquant.pc)
  cmake_path(GET pc PARENT_PATH pc_folder)
  set(ENV{PKG_CONFIG_PATH} ${pc_folder})
  execute_process(COMMAND pkg-config --define-prefix --cflags --libs blockquant OUTPUT_VARIABLE flags
    COMMAND_ERROR_IS_FATAL ANY)
  separate_arguments(flags UNIX_COMMAND "${flags}")
  file(MAKE_DIRECTORY ${WORK}/build)
  run(${COMPILER} -std=c++20 ${consumer}/main.cpp -o ${WORK}/build/consumer ${flags})
else()
  if(MODE STREQUAL "installed")
    run(${configure} -D CMAKE_PREFIX_PATH=${WORK}/prefix)
  endif()
  run(${CMAKE_COMMAND} --build ${WORK}/build)
endif()

execute_process(COMMAND ${WORK}/build/consumer OUTPUT_VARIABLE output COMMAND_ERROR_IS_FATAL ANY)
message(STATUS "${MODE}: ${output}")
if(NOT output MATCHES "^147456 bytes; weight 1 was 0.0998, is 0\\.1188")
  message(FATAL_ERROR "the consumer printed something else than expected")
endif()
