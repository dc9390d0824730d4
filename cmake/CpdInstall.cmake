# `cmake --install`: library, headers, program and the package that find_package(cpd) reads.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(_package ${CMAKE_INSTALL_LIBDIR}/cmake/cpd)

install(TARGETS cpd EXPORT cpdTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT cpdTargets NAMESPACE cpd:: DESTINATION ${_package})
install(DIRECTORY cpd DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  FILES_MATCHING PATTERN "*.h" PATTERN "*.inl" PATTERN "*_internal.h" EXCLUDE PATTERN cli EXCLUDE)
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/cpd)
if(TARGET cpd_program)
  set_target_properties(cpd_program PROPERTIES INSTALL_RPATH ${CPD_TORCH_DIR}/lib)
  install(TARGETS cpd_program RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

configure_package_config_file(cmake/cpdConfig.cmake.in ${PROJECT_BINARY_DIR}/cpdConfig.cmake
  INSTALL_DESTINATION ${_package})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/cpdConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/cpdConfig.cmake ${PROJECT_BINARY_DIR}/cpdConfigVersion.cmake
  cmake/CpdTorch.cmake DESTINATION ${_package})
