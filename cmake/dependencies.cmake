# Other people's libraries: a system package where there is one, else a pinned release.
include(FetchContent)

# blockquant_dependency(<package> <git url> <tag> [<pkg-config module> <target>])
# Some systems package a library with a pkg-config file only: it then goes by <target>, the name its CMake files would use.
macro(blockquant_dependency package url tag)
  find_package(${package} QUIET GLOBAL)
  set(blockquant_extra ${ARGN})
  if(NOT ${package}_FOUND AND blockquant_extra)
    list(GET blockquant_extra 0 blockquant_module)
    list(GET blockquant_extra 1 blockquant_alias)
    find_package(PkgConfig QUIET)
    if(PkgConfig_FOUND)
      pkg_check_modules(${package} QUIET IMPORTED_TARGET GLOBAL ${blockquant_module})
      if(${package}_FOUND AND NOT TARGET ${blockquant_alias})
        add_library(${blockquant_alias} ALIAS PkgConfig::${package})
      endif()
    endif()
  endif()
  if(NOT ${package}_FOUND)
    message(STATUS "${package}: no system package, fetching ${tag}")
    FetchContent_Declare(${package} GIT_REPOSITORY ${url} GIT_TAG ${tag} GIT_SHALLOW ON)
    FetchContent_MakeAvailable(${package})
  endif()
endmacro()

find_package(Threads REQUIRED)

# What all programs share: command lines, text, JSON.
macro(blockquant_program_dependencies)
  blockquant_dependency(CLI11 https://github.com/CLIUtils/CLI11.git v2.4.2)
  blockquant_dependency(fmt https://github.com/fmtlib/fmt.git 10.2.1)
  blockquant_dependency(nlohmann_json https://github.com/nlohmann/json.git v3.11.3)
endmacro()
