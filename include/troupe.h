/* SPDX-License-Identifier: MIT */
/*
 * troupe.h - all of troupe's public headers, and nothing else.
 *
 * The headers are the manual.  Read them in this order: actor.h (what an actor is), message.h and
 * mailbox.h (how actors talk), call.h (asking and answering), link.h and supervisor.h (what happens
 * when one dies), runtime.h (how a program starts and stops it all).
 */
#ifndef TROUPE_H
#define TROUPE_H

#include "troupe/actor.h"
#include "troupe/base.h"
#include "troupe/call.h"
#include "troupe/io.h"
#include "troupe/link.h"
#include "troupe/mailbox.h"
#include "troupe/message.h"
#include "troupe/net.h"
#include "troupe/registry.h"
#include "troupe/runtime.h"
#include "troupe/supervisor.h"
#include "troupe/timer.h"

#endif
