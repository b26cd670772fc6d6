# SPDX-License-Identifier: Apache-2.0
# trunkline_unity(TARGET SOURCE..): with TRUNKLINE_UNITY, compiles the sources of one folder together
# in batches of up to ten, since most of a file's time is its headers'. Names in the anonymous
# namespaces of a folder must differ for it. Off, a change of one file compiles that file alone.
option(TRUNKLINE_UNITY "Compile library and tests in batches: faster from nothing" OFF)
set(TRUNKLINE_UNITY_BATCH 10)

function(trunkline_unity target)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ${TRUNKLINE_UNITY} UNITY_BUILD_MODE GROUP)
  set(folders)
  foreach(source ${ARGN})
    # Alone: what Highway includes once per instruction set; what is compiled again at each commit;
    # what defines macros for a header that others include without them; sentencepiece's headers,
    # whose string_view is ambiguous after Abseil's.
    file(STRINGS ${source} alone LIMIT_COUNT 1 REGEX
      "hwy/foreach_target.h|base/version.h|^#define PCRE2_|<sentencepiece_processor.h>")
    if(NOT alone)
      get_filename_component(folder ${source} DIRECTORY)
      file(RELATIVE_PATH folder ${CMAKE_SOURCE_DIR} ${folder})
      string(MAKE_C_IDENTIFIER ${folder} folder)
      list(APPEND folders ${folder})
      list(APPEND of_${folder} ${source})
    endif()
  endforeach()
  list(REMOVE_DUPLICATES folders)
  foreach(folder ${folders})
    list(LENGTH of_${folder} length)
    math(EXPR batches "(${length} + ${TRUNKLINE_UNITY_BATCH} - 1) / ${TRUNKLINE_UNITY_BATCH}")
    set(i 0)
    foreach(source ${of_${folder}})
      math(EXPR batch "${i} * ${batches} / ${length}")
      set_source_files_properties(${source} PROPERTIES UNITY_GROUP ${folder}_${batch})
      math(EXPR i "${i} + 1")
    endforeach()
  endforeach()
endfunction()
