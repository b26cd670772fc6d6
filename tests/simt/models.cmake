# SPDX-License-Identifier: Apache-2.0
# Whole models and the whole program on the machine. What lies above the kernels comes from the
# product's own library; the machine's kernels and calls are all linked, so they come before the
# product's.
add_library(trunkline_simt_program INTERFACE)
target_link_libraries(trunkline_simt_program INTERFACE
  $<LINK_LIBRARY:WHOLE_ARCHIVE,trunkline_simt> trunkline_lib)

trunkline_test_headers(trunkline_simt_model_test_headers 1 trunkline_simt_program)

# trunkline_add_simt_model_test(NAME SOURCE [--gtest_filter=..]): unit.simt.NAME.
function(trunkline_add_simt_model_test name source)
  string(REPLACE "." "_" target simt_${name})
  trunkline_test_program(${target} HEADERS trunkline_simt_model_test_headers
    SOURCES ${source} LIBRARIES trunkline_simt_program GTest::gtest_main)
  trunkline_add_simt_test(${name} ${target} ${ARGN})
  add_dependencies(unit_tests ${target})
endfunction()

# Recomputing is the engine's, which the CPU tests: here its kernels' work would be done twice more.
foreach(name golden gradients)
  trunkline_add_simt_model_test(engine.${name} ${CMAKE_SOURCE_DIR}/tests/engine/${name}_test.cc
    --gtest_filter=-*Recompute*)
endforeach()
# Which drafts a rule takes is decided on the host.
trunkline_add_simt_model_test(infer.decoder ${CMAKE_SOURCE_DIR}/tests/infer/decoder_test.cc
  --gtest_filter=*Logits*:*EveryDrafter*)
trunkline_add_simt_model_test(infer.decode_pass
  ${CMAKE_CURRENT_SOURCE_DIR}/models/decode_pass_test.cc)
foreach(name bench_plan predictions products)
  trunkline_add_simt_model_test(${name} ${CMAKE_CURRENT_SOURCE_DIR}/models/${name}_test.cc)
endforeach()

# The program; `trunkline train --set run.device=cuda` runs on the machine.
add_executable(simt_trunkline ${CMAKE_SOURCE_DIR}/src/cli/main.cc)
target_link_libraries(simt_trunkline PRIVATE trunkline_simt_program)
set_target_properties(simt_trunkline PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
