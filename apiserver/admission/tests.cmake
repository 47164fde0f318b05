# Tests of authentication, authorization and admission, for apiserver/CMakeLists.txt.
foreach(test admission auth quota)
  add_test(NAME apiserver_${test}
    COMMAND ${PYTHON3} ${CMAKE_SOURCE_DIR}/tests/integration/apiserver_${test}_test.py $<TARGET_FILE:c8s-apiserver>)
  set_tests_properties(apiserver_${test} PROPERTIES LABELS integration TIMEOUT 300)
endforeach()
foreach(test test_admission test_quota_usage)
  c8s_test(${test} SOURCES ../tests/unit/${test}.c DEPS c8s_apiserver)
endforeach()
