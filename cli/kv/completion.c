/*
 * `c8s kv completion bash|zsh|fish`: scripts that ask `c8s kv __complete WORDS… CURRENT` what may stand next.
 * So what is offered is what this very program takes: verbs from its tree, flags from their tables.
 */
#include "cli/kv/kv.h"
#include "base/mem.h"

#include <stdio.h>

static const char bash_script[] =
    "# bash completion of `c8s kv` (and of etcdctl, where that is a link to c8s)\n"
    "_c8s_kv() {\n"
    "    local cur=${COMP_WORDS[COMP_CWORD]} first=1 line word\n"
    "    local -a words=()\n"
    "    COMPREPLY=()\n"
    "    if [ \"${COMP_WORDS[0]##*/}\" = c8s ]; then\n"
    "        [ \"$COMP_CWORD\" -gt 1 ] || { COMPREPLY=($(compgen -W kv -- \"$cur\")); return; }\n"
    "        [ \"${COMP_WORDS[1]}\" = kv ] || return\n"
    "        first=2\n"
    "    fi\n"
    "    for word in \"${COMP_WORDS[@]:first:COMP_CWORD-first}\"; do\n"
    "        [ \"$word\" = = ] || words+=(\"$word\")\n"
    "    done\n"
    "    [ \"$cur\" != = ] || cur=\n"
    "    while IFS=$'\\t' read -r line _; do\n"
    "        [[ $line == \"$cur\"* ]] && COMPREPLY+=(\"$line\")\n"
    "    done < <(c8s kv __complete \"${words[@]}\" \"$cur\" 2>/dev/null)\n"
    "}\n"
    "complete -o bashdefault -o default -F _c8s_kv c8s etcdctl\n";

static const char zsh_script[] =
    "#compdef c8s etcdctl\n"
    "# zsh completion of `c8s kv` (and of etcdctl, where that is a link to c8s)\n"
    "_c8s_kv() {\n"
    "    local first=2 line\n"
    "    local -a found\n"
    "    if [[ ${words[1]:t} == c8s ]]; then\n"
    "        (( CURRENT > 2 )) || { compadd kv; return }\n"
    "        [[ ${words[2]} == kv ]] || return\n"
    "        first=3\n"
    "    fi\n"
    "    for line in ${(f)\"$(c8s kv __complete \"${(@)words[first,CURRENT-1]}\" "
    "\"${words[CURRENT]}\" 2>/dev/null)\"}; do\n"
    "        found+=(\"${${line%%$'\\t'*}//:/\\\\:}:${line#*$'\\t'}\")\n"
    "    done\n"
    "    (( $#found )) && _describe 'c8s kv' found || _files\n"
    "}\n"
    "compdef _c8s_kv c8s etcdctl\n";

static const char fish_script[] =
    "# fish completion of `c8s kv` (and of etcdctl, where that is a link to c8s)\n"
    "function __c8s_kv\n"
    "    set -l words (commandline -opc)\n"
    "    set -l first 2\n"
    "    if test (basename $words[1]) = c8s\n"
    "        test (count $words) -gt 1; or begin; echo kv; return; end\n"
    "        test $words[2] = kv; or return\n"
    "        set first 3\n"
    "    end\n"
    "    c8s kv __complete $words[$first..-1] (commandline -ct) 2>/dev/null\n"
    "end\n"
    "complete -c c8s -f -a '(__c8s_kv)'\n"
    "complete -c etcdctl -f -a '(__c8s_kv)'\n";

int kv_completion_main(int argc, char **argv)
{
    static const struct {
        const char *shell, *script;
    } shells[] = {{"bash", bash_script}, {"zsh", zsh_script}, {"fish", fish_script}};
    static const struct flag flags[] = {FLAGS_END};
    static const struct flags_spec spec = {
        .program = "c8s kv completion",
        .summary = "A script that completes verbs and flags: source <(c8s kv completion bash)",
        .usage = "bash|zsh|fish",
        .flags = flags,
        .args_min = 1,
        .args_max = 1};
    struct flag_list args = {0};
    flags_parse_or_exit(&spec, argc, argv, &args, KV_EXIT_ERROR);
    int rc = -1;
    for (size_t i = 0; i < ARRAY_LEN(shells); i++)
        if (cstr_eq(args.items[0], shells[i].shell))
            rc = fputs(shells[i].script, stdout) < 0;
    if (rc < 0)
        rc = kv_fail(KV_EXIT_ERROR, "invalid argument \"%s\" for \"c8s kv completion\"",
                     args.items[0]);
    flag_list_free(&args);
    return rc;
}

static void list_verbs(const struct kv_verb *verbs)
{
    for (const struct kv_verb *v = verbs; v->name; v++)
        if (*v->help)
            printf("%s\t%s\n", v->name, v->help);
}

/* argv: "__complete", the words so far, the word under the cursor. */
int kv_complete_main(int argc, char **argv)
{
    const struct kv_verb *verb = NULL;
    if (argc < 2)
        return KV_EXIT_ARGS;
    const char *current = argv[argc - 1], *previous = argc > 2 ? argv[argc - 2] : "";
    char **rest = mem_zalloc(sizeof *rest * ((size_t)argc + 1));
    kv_find_verb(argc - 1, argv, rest, &verb);
    mem_free(rest);
    if (!verb || verb->verbs) {
        list_verbs(verb ? verb->verbs : kv_verbs);
        return 0;
    }
    /* The verb's own table of flags knows; it is asked only where a flag may stand, or its value. */
    if (*current != '-' && *previous != '-') {
        if (cstr_eq(verb->name, "completion"))
            puts("bash\nzsh\nfish");
        return 0;
    }
    char *question = mem_printf("--complete=%s", previous);
    char *asked[] = {(char *)verb->name, question, NULL};
    int rc = verb->run(2, asked);
    mem_free(question);
    return rc;
}
