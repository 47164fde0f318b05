# Authentication, authorization and admission, for apiserver/CMakeLists.txt.
set(admission
  admission/certificates.c admission/config_read.c admission/lifecycle.c admission/limit_ranger.c admission/limits.c
  admission/network.c admission/node_restriction.c admission/owner_references.c
  admission/pod_security.c admission/pod_security_checks.c admission/pod_security_labels.c
  admission/priority.c admission/runtime_class.c admission/service_account.c admission/storage.c
  admission/table.c admission/taints.c admission/quota.c admission/quota_recount.c
  admission/quota_usage.c object_cache.c pod_refs.c authn_stored.c authz_node.c bootstrap_roles.c
  impersonate.c legacy_token.c strategy_certificates.c)
