# SPDX-License-Identifier: Apache-2.0
# Sanitizers: TRUNKLINE_SANITIZE for every target, but for the kinds of faults in
# TRUNKLINE_SANITIZE_EXCEPT. The preset leaves out null, alignment, object-size and vptr, a third of
# the time of compiling: the first and third end in ASan's own traps.
include(CheckCXXSourceRuns)
set(TRUNKLINE_SANITIZE "" CACHE STRING "Value of -fsanitize= for every target, e.g. address,undefined")
set(TRUNKLINE_SANITIZE_EXCEPT "" CACHE STRING "Value of -fno-sanitize=, where there is any")

# trunkline_sanitize(TARGET): of TARGET and what links it.
function(trunkline_sanitize target)
  if(TRUNKLINE_SANITIZE)
    target_compile_options(${target} INTERFACE
      -fsanitize=${TRUNKLINE_SANITIZE} -fno-omit-frame-pointer -g1)
    if(TRUNKLINE_SANITIZE_EXCEPT)
      target_compile_options(${target} INTERFACE -fno-sanitize=${TRUNKLINE_SANITIZE_EXCEPT})
    endif()
    target_link_options(${target} INTERFACE -fsanitize=${TRUNKLINE_SANITIZE})
  endif()
endfunction()

# trunkline_sanitize_library(LIBRARY SOURCE..): SIMD kernels, a hundred times slower unoptimised
# with their lanes on the stack, are optimised, which the watch on uses after a scope prevents; and
# compiled for AVX2 alone where this machine has it, since three instruction sets are three times the
# same source. What links LIBRARY keeps its modules.
function(trunkline_sanitize_library library)
  if(TRUNKLINE_SANITIZE)
    set(options -O2 -fno-sanitize-address-use-after-scope)
    check_cxx_source_runs("int main() { return !__builtin_cpu_supports(\"avx2\"); }"
      TRUNKLINE_HAS_AVX2)
    if(TRUNKLINE_HAS_AVX2)
      list(APPEND options -march=x86-64-v3 -maes -mpclmul -DHWY_COMPILE_ONLY_STATIC)
    endif()
    foreach(source ${ARGN})
      file(STRINGS ${source} simd LIMIT_COUNT 1 REGEX "hwy/foreach_target.h")
      if(simd)
        set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "${options}")
      endif()
    endforeach()
    add_library(trunkline_keep_modules OBJECT tests/sanitizers/keep_modules.cc)
    target_sources(${library} INTERFACE $<TARGET_OBJECTS:trunkline_keep_modules>)
    target_link_options(${library} INTERFACE -Wl,--export-dynamic-symbol=dlclose)
  endif()
endfunction()
