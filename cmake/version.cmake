# SPDX-License-Identifier: Apache-2.0
# Writes OUTPUT from INPUT with the version of this very commit; run at every build.
find_package(Git QUIET)
set(TRUNKLINE_COMMIT)
if(GIT_FOUND)
  execute_process(COMMAND ${GIT_EXECUTABLE} -C ${SOURCE_DIR} describe --always --dirty --exclude *
    OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
  if(NOT failed)
    set(TRUNKLINE_COMMIT "+g${commit}")
  endif()
endif()
configure_file(${INPUT} ${OUTPUT} @ONLY)  # leaves an unchanged file as it is
