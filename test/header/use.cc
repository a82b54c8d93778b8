/* SPDX-License-Identifier: MIT */
/*
 * use.cc - a C++ program that uses troupe: its macros, its tables and its functions, without a warning.
 *
 * Exit status 0 if a message came where it was sent to, and an answer came back.
 */
#include <troupe.h>

namespace
{

const struct troupe_type question = TROUPE_TYPE(int);
const struct troupe_type answer = TROUPE_TYPE(int);

int answered;

int clerk_receive(struct troupe_actor *self, void *, struct troupe_message *msg)
{
    TROUPE_CHECK(self, troupe_is(msg, &question));
    int twice = *static_cast<const int *>(troupe_body(msg)) * 2;

    return troupe_reply(self, msg, &answer, &twice);
}

int on_answer(
    struct troupe_actor *, void *, void *, int status, struct troupe_message *reply)
{
    TROUPE_TRY(status);
    answered = *static_cast<const int *>(troupe_body(reply));
    return TROUPE_DONE;
}

int asker_init(struct troupe_actor *self, void *, const void *arg)
{
    int body = 21;

    return troupe_request(self, *static_cast<const troupe_pid *>(arg), &question, &body, 60000,
        on_answer, nullptr);
}

int asker_receive(struct troupe_actor *, void *, struct troupe_message *)
{
    return TROUPE_EUNKNOWN;
}

int run(struct troupe_runtime *runtime)
{
    struct troupe_behaviour clerk = {};
    struct troupe_behaviour asker = {};
    struct troupe_spawn_options options = {};
    troupe_pid pid;
    int wait_ms;

    clerk.name = "clerk";
    clerk.receive = clerk_receive;
    asker.name = "asker";
    asker.init = asker_init;
    asker.receive = asker_receive;
    options.behaviour = &clerk;
    TROUPE_TRY(troupe_runtime_start(runtime));
    TROUPE_TRY(troupe_runtime_spawn(runtime, &options, &pid));
    options.behaviour = &asker;
    options.arg = &pid;
    options.arg_size = sizeof pid;
    TROUPE_TRY(troupe_runtime_spawn(runtime, &options, &pid));
    do {
        TROUPE_TRY(troupe_runtime_turn(runtime, 1000, &wait_ms));
    } while (wait_ms == 0);
    return troupe_runtime_stop(runtime, 10000);
}

} // namespace

int main()
{
    struct troupe_runtime_options options = {};
    struct troupe_runtime *runtime;

    options.workers = TROUPE_NO_THREADS;
    if (troupe_runtime_create(&options, &runtime) < 0) {
        return 1;
    }
    int error = run(runtime);

    return troupe_runtime_destroy(runtime) == TROUPE_OK && error == TROUPE_OK && answered == 42 ? 0 : 1;
}
