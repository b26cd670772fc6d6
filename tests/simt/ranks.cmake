# SPDX-License-Identifier: Apache-2.0
# Several ranks on the machine: NCCL's stand-in over MPI, and tests/mpi on it as simt2.<name> and
# simt4.<name>. TL_SIMT_DEVICES GPUs, so that each rank has its own.
add_library(trunkline_simt_nccl OBJECT nccl/nccl.cc)
target_compile_options(trunkline_simt_nccl PRIVATE -O2)
target_link_libraries(trunkline_simt_nccl PUBLIC trunkline_simt_options MPI::MPI_C)
# Its calls are looked up among the program's symbols.
add_library(trunkline_simt_ranks INTERFACE)
target_link_libraries(trunkline_simt_ranks INTERFACE trunkline_simt_program trunkline_simt_nccl
  $<TARGET_OBJECTS:trunkline_simt_nccl>)
target_link_options(trunkline_simt_ranks INTERFACE "LINKER:--export-dynamic-symbol=nccl*")

function(trunkline_add_simt_mpi_test name source)
  set(target simt_mpi_${name})
  trunkline_test_program(${target} HEADERS trunkline_simt_model_test_headers
    SOURCES ${source} LIBRARIES trunkline_simt_ranks)
  foreach(ranks ${ARGN})
    add_test(NAME simt${ranks}.${name}
      COMMAND ${MPIEXEC_EXECUTABLE} --allow-run-as-root --oversubscribe -n ${ranks}
              $<TARGET_FILE:${target}>)
    set_tests_properties(simt${ranks}.${name} PROPERTIES PROCESSORS 2 TIMEOUT 900
      ENVIRONMENT "OMP_NUM_THREADS=1;OMP_WAIT_POLICY=passive;TL_SIMT_DEVICES=${ranks}")
  endforeach()
endfunction()

trunkline_add_simt_mpi_test(device_collectives
  ${CMAKE_SOURCE_DIR}/tests/mpi/device_collectives_test.cc 1 2 4)
trunkline_add_simt_mpi_test(step ranks/step_test.cc 1 2)
trunkline_add_simt_mpi_test(device_equivalence
  ${CMAKE_SOURCE_DIR}/tests/mpi/device_equivalence_test.cc 4)
trunkline_add_simt_mpi_test(nccl_rules ranks/nccl_rules_test.cc 2)
foreach(test step nccl_rules)
  target_include_directories(simt_mpi_${test} PRIVATE ${CMAKE_SOURCE_DIR}/tests/mpi)
endforeach()

# The program, with NCCL.
target_link_libraries(simt_trunkline PRIVATE trunkline_simt_ranks)
trunkline_test_program(simt_program_test
  SOURCES ranks/program_test.cc LIBRARIES trunkline_lib GTest::gtest_main)
add_dependencies(simt_program_test trunkline simt_trunkline)
add_test(NAME simt4.program COMMAND simt_program_test)
set_tests_properties(simt4.program PROPERTIES PROCESSORS 2 TIMEOUT 900
  ENVIRONMENT "OMP_WAIT_POLICY=passive")
