# What `cmake --install` puts where: the library, its headers, the programs, and the files by which CMake and pkg-config find it.
# Installed headers keep their quoted includes: blockquant/types.hpp finds blockquant/formats/type.hpp beside it.
include(CMakePackageConfigHelpers)

set(blockquant_cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/blockquant)
install(TARGETS blockquant EXPORT blockquant)
install(EXPORT blockquant NAMESPACE blockquant:: FILE blockquantTargets.cmake DESTINATION ${blockquant_cmake_dir})
if(BLOCKQUANT_HAS_CUDA)
  install(TARGETS blockquant_cuda EXPORT blockquant_cuda)
  install(EXPORT blockquant_cuda NAMESPACE blockquant:: FILE blockquantCudaTargets.cmake
    DESTINATION ${blockquant_cmake_dir})
endif()
if(BLOCKQUANT_EXAMPLES)
  set(blockquant_programs bq-quantize bq-perplexity bq-imatrix bq-run)
  set_target_properties(${blockquant_programs} PROPERTIES INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")
  install(TARGETS ${blockquant_programs})
endif()
install(DIRECTORY include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY formats DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/blockquant FILES_MATCHING PATTERN "*.hpp")

configure_package_config_file(cmake/blockquantConfig.cmake.in ${PROJECT_BINARY_DIR}/blockquantConfig.cmake
  INSTALL_DESTINATION ${blockquant_cmake_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/blockquantConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/blockquantConfig.cmake ${PROJECT_BINARY_DIR}/blockquantConfigVersion.cmake
  DESTINATION ${blockquant_cmake_dir})

configure_file(cmake/blockquant.pc.in ${PROJECT_BINARY_DIR}/blockquant.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/blockquant.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
