# 64-bit Arm Linux from another machine: Debian's cross compiler (or clang++ with -DCMAKE_CXX_COMPILER), programs run by
# qemu-user. Libraries come from the target alone; headers and CMake packages without libraries may be the host's.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
if(NOT DEFINED CMAKE_CXX_COMPILER)
  set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
endif()
set(CMAKE_CXX_COMPILER_TARGET aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -L /usr/aarch64-linux-gnu)
# Headers only, yet Debian installs its CMake package in the host's library folder.
file(GLOB xsimd_DIR /usr/lib/*/cmake/xsimd)
