#!/bin/sh
# Man pages of `c8s kv`, one for each verb, from the verbs' own tables of flags: kv-man.sh C8S DIRECTORY
set -eu
c8s=$1 to=$2
mkdir -p "$to"
pages() { # VERB…: of what stands below it
    "$c8s" kv __complete "$@" '' | cut -f1 | while read -r verb; do
        case "$verb" in
        help | bash | zsh | fish) ;;
        *)
            if [ "$verb" != completion ] && [ -n "$("$c8s" kv __complete "$@" "$verb" '')" ]; then
                pages "$@" "$verb"
            else
                name=$(printf -- '-%s' "$@" "$verb")
                "$c8s" kv "$@" "$verb" --man >"$to/c8s-kv$name.8"
            fi
            ;;
        esac
    done
}
pages
