/* SPDX-License-Identifier: MIT */
/*
 * troupe.h - all of troupe's public headers, and nothing else.
 *
 * The headers are the manual.  Read them in this order: actor.h (what an actor is), message.h and mailbox.h (how actors
 * talk), overload.h (what a full mailbox does), call.h (asking and answering), fiber.h (waiting), lease.h (room held before it is needed), blocking.h (what would hold
 * a thread), registry.h and group.h (names, for one and for many), link.h and supervisor.h (what happens when one dies),
 * reference.h (one that ends when nobody needs it), gate.h (how much a server takes on), alias.h (addresses that can be
 * revoked), pool.h (many that do the same), partition.h (a supervisor that is many), runtime.h (how a program starts and
 * stops it all), info.h (a look at one actor), waits.h (who waits for whom).  server.h, machine.h and events.h have the
 * usual shapes of actors ready-made; net.h and stream.h connect to others; stash.h puts messages aside, flow.h and topic.h
 * are streams of items that do not overrun anybody, and sys.h looks into such an actor while it runs.
 */
#ifndef TROUPE_H
#define TROUPE_H

#include "troupe/actor.h"
#include "troupe/alias.h"
#include "troupe/base.h"
#include "troupe/blocking.h"
#include "troupe/call.h"
#include "troupe/events.h"
#include "troupe/fiber.h"
#include "troupe/flow.h"
#include "troupe/gate.h"
#include "troupe/group.h"
#include "troupe/info.h"
#include "troupe/io.h"
#include "troupe/lease.h"
#include "troupe/link.h"
#include "troupe/machine.h"
#include "troupe/mailbox.h"
#include "troupe/message.h"
#include "troupe/net.h"
#include "troupe/overload.h"
#include "troupe/partition.h"
#include "troupe/pool.h"
#include "troupe/reference.h"
#include "troupe/registry.h"
#include "troupe/runtime.h"
#include "troupe/server.h"
#include "troupe/stash.h"
#include "troupe/stream.h"
#include "troupe/supervisor.h"
#include "troupe/sys.h"
#include "troupe/timer.h"
#include "troupe/topic.h"
#include "troupe/waits.h"

#endif
