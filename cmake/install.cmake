# SPDX-License-Identifier: Apache-2.0
# `cmake --install BUILD --prefix PREFIX`, and by `cpack` in the build folder a Debian package: the
# program, the scripts that run it, configs, what completes its command line, and licences.
include(GNUInstallDirs)
set(TRUNKLINE_SHARE ${CMAKE_INSTALL_DATADIR}/trunkline)
install(TARGETS trunkline RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(PROGRAMS launch/quickstart.sh launch/fashion.sh DESTINATION ${TRUNKLINE_SHARE}/launch)
install(FILES launch/common.sh DESTINATION ${TRUNKLINE_SHARE}/launch)
install(PROGRAMS launch/slurm/cpu.sh launch/slurm/gpu.sh launch/slurm/sweep.sh launch/slurm/job.sh
  DESTINATION ${TRUNKLINE_SHARE}/launch/slurm)
install(DIRECTORY configs/ DESTINATION ${TRUNKLINE_SHARE}/configs FILES_MATCHING PATTERN "*.toml")
install(FILES README.md CHANGELOG.md CITATION.cff DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES NOTICE DESTINATION ${CMAKE_INSTALL_DOCDIR} RENAME copyright)

# Written by the program when it is installed: building for another machine leaves them out. Debian's
# zsh looks elsewhere below /usr.
if(NOT CMAKE_CROSSCOMPILING)
  install(CODE "
    set(zsh share/zsh/site-functions)
    if(CMAKE_INSTALL_PREFIX STREQUAL \"/usr\")
      set(zsh share/zsh/vendor-completions)
    endif()
    foreach(file bash:trunkline:share/bash-completion/completions zsh:_trunkline:\${zsh})
      string(REPLACE : \";\" file \"\${file}\")
      list(POP_FRONT file shell name folder)
      execute_process(COMMAND \"$<TARGET_FILE:trunkline>\" completion \${shell}
        OUTPUT_FILE \"${CMAKE_BINARY_DIR}/\${name}.\${shell}\" RESULT_VARIABLE failed)
      if(failed)
        message(FATAL_ERROR \"$<TARGET_FILE:trunkline> completion \${shell} failed: \${failed}\")
      endif()
      file(INSTALL \"${CMAKE_BINARY_DIR}/\${name}.\${shell}\" RENAME \${name}
        DESTINATION \"\${CMAKE_INSTALL_PREFIX}/\${folder}\")
    endforeach()")
endif()
# LICENSE, NOTICE and the licences of what is compiled in, where Debian's packages tell them.
install(CODE "
  execute_process(COMMAND \"${CMAKE_SOURCE_DIR}/launch/bundle_licenses.sh\"
    \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_DOCDIR}\" INPUT_FILE /dev/null
    COMMAND_ERROR_IS_FATAL ANY)")

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME trunkline)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT "The Trunkline authors")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "distributed trainer of language models")
set(CPACK_PACKAGE_DESCRIPTION
  "Trains transformer trunks under several objectives on ranks of MPI, keeps checkpoints that load on
any number of ranks, and decodes several tokens per pass, all by one program.")
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)  # Depends, from the libraries that the program is linked with
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS openmpi-bin)
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "bible-kjv, dataset-fashion-mnist")
include(CPack)
