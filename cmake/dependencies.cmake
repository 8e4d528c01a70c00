# Other people's libraries: a system package where there is one, else a pinned release.
include(FetchContent)

# blockquant_dependency(<package> <git url> <tag>)
macro(blockquant_dependency package url tag)
  find_package(${package} QUIET)
  if(NOT ${package}_FOUND)
    message(STATUS "${package}: no system package, fetching ${tag}")
    FetchContent_Declare(${package} GIT_REPOSITORY ${url} GIT_TAG ${tag} GIT_SHALLOW ON)
    FetchContent_MakeAvailable(${package})
  endif()
endmacro()

find_package(Threads REQUIRED)
