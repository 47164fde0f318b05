/*
 * etcd's configuration file (--config-file): YAML whose keys are the flags' names, with the certificates'
 * flags in the sections client-transport-security and peer-transport-security.
 */
#ifndef C8S_APISERVER_CONFIG_FILE_H
#define C8S_APISERVER_CONFIG_FILE_H

#include "base/arena.h"
#include "base/flags.h"

/*
 * Set the flags of `spec` that the file at `path` names; values live in `a`. A list is written as a YAML list
 * or with commas. Errors name the file and the key: ERR_NOT_FOUND, ERR_INVALID, ERR_UNSUPPORTED, ERR_IO.
 */
int config_file_read(const char *path, const struct flags_spec *spec, struct arena *a,
                     struct error *err);

#endif
