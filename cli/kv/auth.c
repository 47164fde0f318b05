/*
 * `c8s kv auth enable|disable|status`, `user add|delete|get|list|passwd|grant-role|revoke-role`.
 */
#include "cli/kv/kv.h"

#include <inttypes.h>
#include <stdio.h>

/* --------------------------------------------------------------------------- auth --- */

static int request_enable(struct kv_cli *c, const char **text)
{
    Etcdserverpb__AuthEnableRequest q = ETCDSERVERPB__AUTH_ENABLE_REQUEST__INIT;
    void *r;
    return kv_try(c, c->channel, "/etcdserverpb.Auth/AuthEnable", &q,
                  &etcdserverpb__auth_enable_response__descriptor, &r, text);
}

/* The role root is made and given to the user root, where that has not been done. */
static int make_root(struct kv_cli *c)
{
    Etcdserverpb__AuthRoleAddRequest add = ETCDSERVERPB__AUTH_ROLE_ADD_REQUEST__INIT;
    Etcdserverpb__AuthUserGrantRoleRequest grant = ETCDSERVERPB__AUTH_USER_GRANT_ROLE_REQUEST__INIT;
    void *r;
    add.name = grant.user = grant.role = (char *)"root";
    int rc = kv_call(c, c->channel, "/etcdserverpb.Auth/RoleAdd", &add,
                     &etcdserverpb__auth_role_add_response__descriptor, &r);
    return rc ? rc
              : kv_call(c, c->channel, "/etcdserverpb.Auth/UserGrantRole", &grant,
                        &etcdserverpb__auth_user_grant_role_response__descriptor, &r);
}

static int enable(struct kv_cli *c)
{
    const char *text = "";
    int status = request_enable(c, &text);
    if (status && cstr_eq(text, "etcdserver: root user does not have root role")) {
        int rc = make_root(c);
        if (rc)
            return rc;
        status = request_enable(c, &text);
    }
    if (status)
        return kv_fail(KV_EXIT_ERROR, "%s", text);
    puts("Authentication Enabled");
    return 0;
}

static int disable(struct kv_cli *c)
{
    Etcdserverpb__AuthDisableRequest q = ETCDSERVERPB__AUTH_DISABLE_REQUEST__INIT;
    void *r;
    int rc = kv_call(c, c->channel, "/etcdserverpb.Auth/AuthDisable", &q,
                     &etcdserverpb__auth_disable_response__descriptor, &r);
    if (rc == 0)
        puts("Authentication Disabled");
    return rc;
}

static void simple_status(struct kv_cli *c, const void *message)
{
    (void)c;
    const Etcdserverpb__AuthStatusResponse *r = message;
    printf("Authentication Status: %s\nAuthRevision: %" PRIu64 "\n", r->enabled ? "true" : "false",
           r->authrevision);
}

static int status(struct kv_cli *c)
{
    static const struct kv_forms forms = {.simple = simple_status};
    Etcdserverpb__AuthStatusRequest q = ETCDSERVERPB__AUTH_STATUS_REQUEST__INIT;
    return kv_ask(c, "/etcdserverpb.Auth/AuthStatus", &q,
                  &etcdserverpb__auth_status_response__descriptor, &forms);
}

static int enable_main(int argc, char **argv)
{
    static const struct kv_plain plain = {
        .program = "c8s kv auth enable",
        .summary = "From now on every request must come from a user.",
        .args_error = "auth enable command does not accept any arguments",
        .run = enable,
    };
    return kv_plain_main(&plain, argc, argv);
}

static int disable_main(int argc, char **argv)
{
    static const struct kv_plain plain = {
        .program = "c8s kv auth disable",
        .summary = "Everybody may do everything again.",
        .args_error = "auth disable command does not accept any arguments",
        .run = disable,
    };
    return kv_plain_main(&plain, argc, argv);
}

static int status_main(int argc, char **argv)
{
    static const struct kv_plain plain = {
        .program = "c8s kv auth status",
        .summary = "Are users checked?",
        .args_error = "auth status command does not accept any arguments",
        .run = status,
    };
    return kv_plain_main(&plain, argc, argv);
}

const struct kv_verb kv_auth_verbs[] = {
    {"enable", enable_main, "Check users from now on"},
    {"disable", disable_main, "Check nobody any longer"},
    {"status", status_main, "Are users checked?"},
    {NULL},
};

/* ---------------------------------------------------------------------- passwords --- */

/* Asked for twice, or (not interactive) the first word of standard input. 0 or an exit code. */
static int read_password(struct kv_cli *c, const char *user, bool interactive, const char **out)
{
    struct arena *a = &c->arena;
    if (!interactive) {
        char word[4096];
        *out = scanf("%4095s", word) == 1 ? arena_strdup(a, word) : "";
        return 0;
    }
    *out = kv_ask_password(a, arena_printf(a, "Password of %s: ", user));
    if (!*out)
        return kv_fail(KV_EXIT_ARGS, "failed to ask password: EOF");
    if (!**out)
        return kv_fail(KV_EXIT_ARGS, "empty password");
    const char *again =
        kv_ask_password(a, arena_printf(a, "Type password of %s again for confirmation: ", user));
    if (!again)
        return kv_fail(KV_EXIT_ARGS, "failed to ask password: EOF");
    return cstr_eq(*out, again) ? 0 : kv_fail(KV_EXIT_ARGS, "given passwords are different");
}

/* --------------------------------------------------------------------- add, passwd --- */

struct add_flags {
    const char *password;
    bool interactive, no_password;
};

/* Name and password of "NAME", "NAME:PASSWORD", flags or questions. 0 or an exit code. */
static int user_of(struct kv_cli *c, const struct add_flags *f, Etcdserverpb__AuthUserAddRequest *q)
{
    const char *colon = strchr(c->args.items[0], ':'), *password = "";
    int rc = 0;
    q->name = c->args.items[0];
    if (f->no_password)
        return 0;
    if (*f->password) {
        password = f->password;
    } else if (colon) {
        q->name = arena_strndup(&c->arena, q->name, (size_t)(colon - q->name));
        password = colon + 1;
        if (!*q->name)
            rc = kv_fail(KV_EXIT_ARGS, "empty user name is not allowed");
    } else {
        rc = read_password(c, q->name, f->interactive, &password);
    }
    q->password = (char *)password;
    return rc;
}

static int add_main(int argc, char **argv)
{
    static const struct kv_forms forms = {.simple = kv_no_form, .fields = kv_fields_only_header};
    struct kv_cli c;
    struct add_flags f = {.interactive = true, .password = ""};
    Etcdserverpb__AuthUserAddRequest q = ETCDSERVERPB__AUTH_USER_ADD_REQUEST__INIT;
    Authpb__UserAddOptions options = AUTHPB__USER_ADD_OPTIONS__INIT;
    Etcdserverpb__AuthUserAddResponse *r;
    kv_cli_init(&c, argv[0]);
    const struct flag flags[] = {
        {"interactive", 0, FLAG_BOOL, &f.interactive, NULL,
         "Ask for the password twice; =false: take it from standard input."},
        {"new-user-password", 0, FLAG_STRING, &f.password, "PASSWORD", "The password."},
        {"no-password", 0, FLAG_BOOL, &f.no_password, NULL,
         "None: the user comes with a certificate of that common name."},
        KV_GLOBAL_FLAGS(&c),
        FLAGS_END};
    const struct flags_spec spec = {.program = "c8s kv user add",
                                    .summary = "Make a user.",
                                    .usage = "[flags] NAME[:PASSWORD]",
                                    .flags = flags,
                                    .env_prefix = "ETCDCTL_",
                                    .args_max = FLAGS_ANY};
    kv_cli_parse(&c, &spec, argc, argv);
    int rc = c.args.len == 1
                 ? user_of(&c, &f, &q)
                 : kv_fail(KV_EXIT_ARGS, "user add command requires user name as its argument");
    options.no_password = f.no_password;
    q.options = &options;
    if (rc == 0) {
        kv_cli_connect_all(&c);
        rc = kv_call(&c, c.channel, "/etcdserverpb.Auth/UserAdd", &q,
                     &etcdserverpb__auth_user_add_response__descriptor, &r);
    }
    if (rc == 0 && c.format == KV_SIMPLE)
        printf("User %s created\n", q.name);
    else if (rc == 0)
        rc = kv_show(&c, r, &forms);
    kv_cli_stop(&c);
    return rc;
}

static void simple_passwd(struct kv_cli *c, const void *message)
{
    (void)c, (void)message;
    puts("Password updated");
}

static int passwd_main(int argc, char **argv)
{
    static const struct kv_forms forms = {.simple = simple_passwd, .fields = kv_fields_only_header};
    struct kv_cli c;
    bool interactive = true;
    const char *password = "";
    Etcdserverpb__AuthUserChangePasswordRequest q =
        ETCDSERVERPB__AUTH_USER_CHANGE_PASSWORD_REQUEST__INIT;
    kv_cli_init(&c, argv[0]);
    const struct flag flags[] = {
        {"interactive", 0, FLAG_BOOL, &interactive, NULL,
         "Ask for the password twice; =false: take it from standard input."},
        KV_GLOBAL_FLAGS(&c),
        FLAGS_END};
    const struct flags_spec spec = {.program = "c8s kv user passwd",
                                    .summary = "Give a user another password.",
                                    .usage = "[flags] NAME",
                                    .flags = flags,
                                    .env_prefix = "ETCDCTL_",
                                    .args_max = FLAGS_ANY};
    kv_cli_parse(&c, &spec, argc, argv);
    int rc = c.args.len == 1
                 ? read_password(&c, c.args.items[0], interactive, &password)
                 : kv_fail(KV_EXIT_ARGS, "user passwd command requires user name as its argument");
    if (rc == 0) {
        q.name = c.args.items[0];
        q.password = (char *)password;
        kv_cli_connect_all(&c);
        rc = kv_ask(&c, "/etcdserverpb.Auth/UserChangePassword", &q,
                    &etcdserverpb__auth_user_change_password_response__descriptor, &forms);
    }
    kv_cli_stop(&c);
    return rc;
}

/* ---------------------------------------------------------------- delete, get, list --- */

static void simple_delete(struct kv_cli *c, const void *message)
{
    (void)message;
    printf("User %s deleted\n", c->args.items[0]);
}

static int delete_user(struct kv_cli *c)
{
    static const struct kv_forms forms = {.simple = simple_delete, .fields = kv_fields_only_header};
    Etcdserverpb__AuthUserDeleteRequest q = ETCDSERVERPB__AUTH_USER_DELETE_REQUEST__INIT;
    q.name = c->args.items[0];
    return kv_ask(c, "/etcdserverpb.Auth/UserDelete", &q,
                  &etcdserverpb__auth_user_delete_response__descriptor, &forms);
}

static int delete_main(int argc, char **argv)
{
    static const struct kv_plain plain = {
        .program = "c8s kv user delete",
        .summary = "Delete a user.",
        .usage = "[flags] NAME",
        .args = 1,
        .args_error = "user delete command requires user name as its argument",
        .run = delete_user,
    };
    return kv_plain_main(&plain, argc, argv);
}

static void simple_get(struct kv_cli *c, const void *message)
{
    const Etcdserverpb__AuthUserGetResponse *r = message;
    printf("User: %s\nRoles:", c->args.items[0]);
    for (size_t i = 0; i < r->n_roles; i++)
        printf(" %s", r->roles[i]);
    putchar('\n');
}

/* The user's roles, and what each may do. */
static int show_detail(struct kv_cli *c, const Etcdserverpb__AuthUserGetResponse *user)
{
    Etcdserverpb__AuthRoleGetRequest q = ETCDSERVERPB__AUTH_ROLE_GET_REQUEST__INIT;
    Etcdserverpb__AuthRoleGetResponse *r;
    int rc = 0;
    printf("User: %s\n", c->args.items[0]);
    for (size_t i = 0; i < user->n_roles && rc == 0; i++) {
        putchar('\n');
        q.role = user->roles[i];
        rc = kv_call(c, c->channel, "/etcdserverpb.Auth/RoleGet", &q,
                     &etcdserverpb__auth_role_get_response__descriptor, &r);
        if (rc == 0)
            kv_print_role(q.role, r);
    }
    return rc;
}

static int get_main(int argc, char **argv)
{
    static const struct kv_forms forms = {.simple = simple_get};
    struct kv_cli c;
    bool detail = false;
    Etcdserverpb__AuthUserGetRequest q = ETCDSERVERPB__AUTH_USER_GET_REQUEST__INIT;
    Etcdserverpb__AuthUserGetResponse *r;
    kv_cli_init(&c, argv[0]);
    const struct flag flags[] = {
        {"detail", 0, FLAG_BOOL, &detail, NULL, "Also what the roles may do."},
        KV_GLOBAL_FLAGS(&c),
        FLAGS_END};
    const struct flags_spec spec = {.program = "c8s kv user get",
                                    .summary = "The roles of a user.",
                                    .usage = "[flags] NAME",
                                    .flags = flags,
                                    .env_prefix = "ETCDCTL_",
                                    .args_max = FLAGS_ANY};
    kv_cli_parse(&c, &spec, argc, argv);
    int rc = c.args.len == 1
                 ? 0
                 : kv_fail(KV_EXIT_ARGS, "user get command requires user name as its argument");
    if (rc == 0) {
        q.name = c.args.items[0];
        kv_cli_connect_all(&c);
        rc = kv_call(&c, c.channel, "/etcdserverpb.Auth/UserGet", &q,
                     &etcdserverpb__auth_user_get_response__descriptor, &r);
    }
    if (rc == 0)
        rc = detail ? show_detail(&c, r) : kv_show(&c, r, &forms);
    kv_cli_stop(&c);
    return rc;
}

static void simple_list(struct kv_cli *c, const void *message)
{
    (void)c;
    const Etcdserverpb__AuthUserListResponse *r = message;
    for (size_t i = 0; i < r->n_users; i++)
        puts(r->users[i]);
}

static int list(struct kv_cli *c)
{
    static const struct kv_forms forms = {.simple = simple_list};
    Etcdserverpb__AuthUserListRequest q = ETCDSERVERPB__AUTH_USER_LIST_REQUEST__INIT;
    return kv_ask(c, "/etcdserverpb.Auth/UserList", &q,
                  &etcdserverpb__auth_user_list_response__descriptor, &forms);
}

static int list_main(int argc, char **argv)
{
    static const struct kv_plain plain = {
        .program = "c8s kv user list",
        .summary = "All users.",
        .args_error = "user list command requires no arguments",
        .run = list,
    };
    return kv_plain_main(&plain, argc, argv);
}

/* --------------------------------------------------------------------- users' roles --- */

static void simple_grant(struct kv_cli *c, const void *message)
{
    (void)message;
    printf("Role %s is granted to user %s\n", c->args.items[1], c->args.items[0]);
}

static int grant_role(struct kv_cli *c)
{
    static const struct kv_forms forms = {.simple = simple_grant, .fields = kv_fields_only_header};
    Etcdserverpb__AuthUserGrantRoleRequest q = ETCDSERVERPB__AUTH_USER_GRANT_ROLE_REQUEST__INIT;
    q.user = c->args.items[0];
    q.role = c->args.items[1];
    return kv_ask(c, "/etcdserverpb.Auth/UserGrantRole", &q,
                  &etcdserverpb__auth_user_grant_role_response__descriptor, &forms);
}

static void simple_revoke(struct kv_cli *c, const void *message)
{
    (void)message;
    printf("Role %s is revoked from user %s\n", c->args.items[1], c->args.items[0]);
}

static int revoke_role(struct kv_cli *c)
{
    static const struct kv_forms forms = {.simple = simple_revoke, .fields = kv_fields_only_header};
    Etcdserverpb__AuthUserRevokeRoleRequest q = ETCDSERVERPB__AUTH_USER_REVOKE_ROLE_REQUEST__INIT;
    q.name = c->args.items[0];
    q.role = c->args.items[1];
    return kv_ask(c, "/etcdserverpb.Auth/UserRevokeRole", &q,
                  &etcdserverpb__auth_user_revoke_role_response__descriptor, &forms);
}

static int grant_role_main(int argc, char **argv)
{
    static const struct kv_plain plain = {
        .program = "c8s kv user grant-role",
        .summary = "Give a user a role.",
        .usage = "[flags] NAME ROLE",
        .args = 2,
        .args_error = "user grant command requires user name and role name as its argument",
        .run = grant_role,
    };
    return kv_plain_main(&plain, argc, argv);
}

static int revoke_role_main(int argc, char **argv)
{
    static const struct kv_plain plain = {
        .program = "c8s kv user revoke-role",
        .summary = "Take a role from a user.",
        .usage = "[flags] NAME ROLE",
        .args = 2,
        .args_error = "user revoke-role requires user name and role name as its argument",
        .run = revoke_role,
    };
    return kv_plain_main(&plain, argc, argv);
}

const struct kv_verb kv_user_verbs[] = {
    {"add", add_main, "Make a user"},
    {"delete", delete_main, "Delete a user"},
    {"get", get_main, "The roles of a user"},
    {"list", list_main, "All users"},
    {"passwd", passwd_main, "Give a user another password"},
    {"grant-role", grant_role_main, "Give a user a role"},
    {"revoke-role", revoke_role_main, "Take a role from a user"},
    {NULL},
};
