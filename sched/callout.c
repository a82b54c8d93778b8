/* SPDX-License-Identifier: MIT */
#include "callout.h"

TRP_THREAD_LOCAL unsigned trp_callouts;
