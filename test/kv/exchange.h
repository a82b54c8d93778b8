/* SPDX-License-Identifier: MIT */
/*
 * exchange.h - what a client says, in order, and what the server has to answer: every reply as Redis 7.0 sends it.
 *
 * test_server.c says it to troupe-kv, and test_redis.c to a redis-server, so that the replies here are not what we
 * believe of Redis but what it does.  Every command of troupe-kv is in it at least once, with these exceptions, whose
 * replies differ between servers and are looked at in test_server.c:
 *
 *      CLIENT ID, HELLO 2, HELLO 3   numbers and names of the server
 *      COMMAND, INFO                 its commands, and its numbers
 *      SCAN with a valid cursor      cursors and order are the server's own
 *      CLIENT SETINFO                is of Redis 7.2
 *      TROUPE.CRASH, TROUPE.TREE     are ours
 *
 * To be said to an empty server by a new client, which is gone afterwards.
 */
#ifndef TEST_KV_EXCHANGE_H
#define TEST_KV_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>

struct exchange {
    const char *command; /* as an inline command, without line end */
    const char *reply;
    size_t reply_len;
    bool ages; /* an integer that may be less, by the time that the test took */
};

#define EXCHANGE(command, reply)                                                                   \
    {                                                                                              \
        command, reply, sizeof(reply) - 1, false                                                   \
    }
#define EXCHANGE_AGES(command, reply)                                                              \
    {                                                                                              \
        command, reply, sizeof(reply) - 1, true                                                    \
    }

static const struct exchange exchanges[] = {
    /* PING and ECHO */
    EXCHANGE("PING", "+PONG\r\n"),
    EXCHANGE("PING \"hello there\"", "$11\r\nhello there\r\n"),
    EXCHANGE("PING a b", "-ERR wrong number of arguments for 'ping' command\r\n"),
    EXCHANGE("ECHO \"a\\x00b\\r\\n\"", "$5\r\na\000b\r\n\r\n"),
    EXCHANGE("ECHO", "-ERR wrong number of arguments for 'echo' command\r\n"),
    EXCHANGE("ping", "+PONG\r\n"),
    /* SET and GET */
    EXCHANGE("GET nothing", "$-1\r\n"),
    EXCHANGE("SET key value", "+OK\r\n"),
    EXCHANGE("GET key", "$5\r\nvalue\r\n"),
    EXCHANGE("SET key \"\" ", "+OK\r\n"),
    EXCHANGE("GET key", "$0\r\n\r\n"),
    EXCHANGE("SET key other GET", "$0\r\n\r\n"),
    EXCHANGE("SET key third NX", "$-1\r\n"),
    EXCHANGE("SET key third XX", "+OK\r\n"),
    EXCHANGE("GET key", "$5\r\nthird\r\n"),
    EXCHANGE("SET absent x XX", "$-1\r\n"),
    EXCHANGE("SET absent x XX GET", "$-1\r\n"),
    EXCHANGE("SET key x NX XX", "-ERR syntax error\r\n"),
    EXCHANGE("SET key x EX 0", "-ERR invalid expire time in 'set' command\r\n"),
    EXCHANGE("SET key x EX nonsense", "-ERR value is not an integer or out of range\r\n"),
    EXCHANGE("SET key x EX", "-ERR syntax error\r\n"),
    EXCHANGE("SET key x PX 100000 EX 100", "-ERR syntax error\r\n"),
    EXCHANGE("SET key x KEEPTTL EX 100", "-ERR syntax error\r\n"),
    EXCHANGE("SET key x BOGUS", "-ERR syntax error\r\n"),
    EXCHANGE("SET key", "-ERR wrong number of arguments for 'set' command\r\n"),
    EXCHANGE("SET key timed EX 100", "+OK\r\n"),
    EXCHANGE_AGES("TTL key", ":100\r\n"),
    EXCHANGE("SET key kept KEEPTTL", "+OK\r\n"),
    EXCHANGE_AGES("TTL key", ":100\r\n"),
    EXCHANGE("SET key lasting", "+OK\r\n"),
    EXCHANGE("TTL key", ":-1\r\n"),
    EXCHANGE("PTTL key", ":-1\r\n"),
    EXCHANGE("SET key gone PXAT 1", "+OK\r\n"),
    EXCHANGE("GET key", "$-1\r\n"),
    EXCHANGE("SET key later EXAT 99999999999", "+OK\r\n"),
    EXCHANGE("GET key", "$5\r\nlater\r\n"),
    EXCHANGE(
        "SET key later PX 9223372036854775807", "-ERR invalid expire time in 'set' command\r\n"),
    EXCHANGE("GET", "-ERR wrong number of arguments for 'get' command\r\n"),
    EXCHANGE("GET a b", "-ERR wrong number of arguments for 'get' command\r\n"),
    EXCHANGE("gEt key", "$5\r\nlater\r\n"),
    /* GETDEL and SETNX */
    EXCHANGE("GETDEL key", "$5\r\nlater\r\n"),
    EXCHANGE("GETDEL key", "$-1\r\n"),
    EXCHANGE("SETNX key first", ":1\r\n"),
    EXCHANGE("SETNX key second", ":0\r\n"),
    EXCHANGE("GET key", "$5\r\nfirst\r\n"),
    /* MSET, MGET, DEL and EXISTS over many shards */
    EXCHANGE("MSET a 1 b 2 c 3 d 4 e 5", "+OK\r\n"),
    EXCHANGE("MGET a b nothing c d e a",
        "*7\r\n$1\r\n1\r\n$1\r\n2\r\n$-1\r\n$1\r\n3\r\n$1\r\n4\r\n$1\r\n5\r\n$1\r\n1\r\n"),
    EXCHANGE("MGET", "-ERR wrong number of arguments for 'mget' command\r\n"),
    EXCHANGE("MSET a", "-ERR wrong number of arguments for 'mset' command\r\n"),
    EXCHANGE("MSET a 1 b", "-ERR wrong number of arguments for 'mset' command\r\n"),
    EXCHANGE("MSET a 10 a 11", "+OK\r\n"),
    EXCHANGE("GET a", "$2\r\n11\r\n"),
    EXCHANGE("EXISTS a b nothing a", ":3\r\n"),
    EXCHANGE("EXISTS", "-ERR wrong number of arguments for 'exists' command\r\n"),
    EXCHANGE("DEL a b nothing", ":2\r\n"),
    EXCHANGE("DEL", "-ERR wrong number of arguments for 'del' command\r\n"),
    EXCHANGE("MGET a b c", "*3\r\n$-1\r\n$-1\r\n$1\r\n3\r\n"),
    /* numbers */
    EXCHANGE("INCR number", ":1\r\n"),
    EXCHANGE("INCRBY number 41", ":42\r\n"),
    EXCHANGE("DECR number", ":41\r\n"),
    EXCHANGE("DECRBY number 50", ":-9\r\n"),
    EXCHANGE("GET number", "$2\r\n-9\r\n"),
    EXCHANGE("INCRBY number nonsense", "-ERR value is not an integer or out of range\r\n"),
    EXCHANGE(
        "INCRBY number 9223372036854775808", "-ERR value is not an integer or out of range\r\n"),
    EXCHANGE("SET number 9223372036854775807", "+OK\r\n"),
    EXCHANGE("INCR number", "-ERR increment or decrement would overflow\r\n"),
    EXCHANGE("DECRBY number -9223372036854775808", "-ERR decrement would overflow\r\n"),
    EXCHANGE("SET number \" 1\"", "+OK\r\n"),
    EXCHANGE("INCR number", "-ERR value is not an integer or out of range\r\n"),
    EXCHANGE("SET number 1.5", "+OK\r\n"),
    EXCHANGE("DECR number", "-ERR value is not an integer or out of range\r\n"),
    EXCHANGE("INCR", "-ERR wrong number of arguments for 'incr' command\r\n"),
    EXCHANGE("INCRBY number", "-ERR wrong number of arguments for 'incrby' command\r\n"),
    EXCHANGE("SET number -9223372036854775808", "+OK\r\n"),
    EXCHANGE("DECR number", "-ERR increment or decrement would overflow\r\n"),
    EXCHANGE("DECRBY number 1", "-ERR increment or decrement would overflow\r\n"),
    EXCHANGE("INCRBY number 9223372036854775807", ":-1\r\n"),
    /* APPEND and STRLEN */
    EXCHANGE("APPEND text Hello", ":5\r\n"),
    EXCHANGE("APPEND text \" World\"", ":11\r\n"),
    EXCHANGE("APPEND text \"\"", ":11\r\n"),
    EXCHANGE("GET text", "$11\r\nHello World\r\n"),
    EXCHANGE("STRLEN text", ":11\r\n"),
    EXCHANGE("STRLEN nothing", ":0\r\n"),
    EXCHANGE("STRLEN", "-ERR wrong number of arguments for 'strlen' command\r\n"),
    EXCHANGE("APPEND text", "-ERR wrong number of arguments for 'append' command\r\n"),
    /* expiry */
    EXCHANGE("EXPIRE text 100", ":1\r\n"),
    EXCHANGE_AGES("TTL text", ":100\r\n"),
    EXCHANGE("EXPIRE text 50 GT", ":0\r\n"),
    EXCHANGE_AGES("TTL text", ":100\r\n"),
    EXCHANGE("EXPIRE text 50 LT", ":1\r\n"),
    EXCHANGE_AGES("TTL text", ":50\r\n"),
    EXCHANGE("EXPIRE text 60 NX", ":0\r\n"),
    EXCHANGE("EXPIRE text 60 XX", ":1\r\n"),
    EXCHANGE("EXPIRE text 60 NX XX",
        "-ERR NX and XX, GT or LT options at the same time are not compatible\r\n"),
    EXCHANGE("EXPIRE text 60 BOGUS", "-ERR Unsupported option BOGUS\r\n"),
    EXCHANGE("PERSIST text", ":1\r\n"),
    EXCHANGE("PERSIST text", ":0\r\n"),
    EXCHANGE("PERSIST nothing", ":0\r\n"),
    EXCHANGE("TTL text", ":-1\r\n"),
    EXCHANGE("TTL nothing", ":-2\r\n"),
    EXCHANGE("PTTL text", ":-1\r\n"),
    EXCHANGE("PTTL nothing", ":-2\r\n"),
    EXCHANGE("EXPIRE nothing 10", ":0\r\n"),
    EXCHANGE("EXPIRE text nonsense", "-ERR value is not an integer or out of range\r\n"),
    EXCHANGE("EXPIRE text 9223372036854775807", "-ERR invalid expire time in 'expire' command\r\n"),
    EXCHANGE("PEXPIRE text 100000", ":1\r\n"),
    EXCHANGE_AGES("TTL text", ":100\r\n"),
    EXCHANGE(
        "PEXPIRE text 9223372036854775807", "-ERR invalid expire time in 'pexpire' command\r\n"),
    EXCHANGE("PEXPIRE text", "-ERR wrong number of arguments for 'pexpire' command\r\n"),
    EXCHANGE("APPEND text \"!\"", ":12\r\n"),
    EXCHANGE_AGES("TTL text", ":100\r\n"),
    EXCHANGE("INCRBY number 0", ":-1\r\n"),
    EXCHANGE("EXPIRE number 100", ":1\r\n"),
    EXCHANGE("INCR number", ":0\r\n"),
    EXCHANGE_AGES("TTL number", ":100\r\n"),
    EXCHANGE("EXPIRE text -1", ":1\r\n"),
    EXCHANGE("GET text", "$-1\r\n"),
    /* TYPE */
    EXCHANGE("TYPE number", "+string\r\n"),
    EXCHANGE("TYPE nothing", "+none\r\n"),
    EXCHANGE("TYPE", "-ERR wrong number of arguments for 'type' command\r\n"),
    /* keys that are not words */
    EXCHANGE("SET \"\\x00\\xff {}\" \"\\xde\\xad\\x00\"", "+OK\r\n"),
    EXCHANGE("GET \"\\x00\\xff {}\"", "$3\r\n\xde\xad\x00\r\n"),
    EXCHANGE("SET \"\" \"of the empty key\"", "+OK\r\n"),
    EXCHANGE("GET \"\"", "$16\r\nof the empty key\r\n"),
    EXCHANGE("TYPE \"\"", "+string\r\n"),
    /* the connection */
    EXCHANGE("CLIENT GETNAME", "$-1\r\n"),
    EXCHANGE("CLIENT SETNAME tester", "+OK\r\n"),
    EXCHANGE("CLIENT GETNAME", "$6\r\ntester\r\n"),
    EXCHANGE("CLIENT SETNAME \"two words\"",
        "-ERR Client names cannot contain spaces, newlines or special characters.\r\n"),
    EXCHANGE("CLIENT SETNAME \"\"", "+OK\r\n"),
    EXCHANGE("CLIENT GETNAME", "$-1\r\n"),
    EXCHANGE("CLIENT", "-ERR wrong number of arguments for 'client' command\r\n"),
    EXCHANGE("CLIENT NONSENSE", "-ERR unknown subcommand 'NONSENSE'. Try CLIENT HELP.\r\n"),
    EXCHANGE("CONFIG GET save", "*2\r\n$4\r\nsave\r\n$0\r\n\r\n"),
    EXCHANGE("CONFIG GET appendonly", "*2\r\n$10\r\nappendonly\r\n$2\r\nno\r\n"),
    EXCHANGE("CONFIG GET nonsense", "*0\r\n"),
    EXCHANGE("CONFIG", "-ERR wrong number of arguments for 'config' command\r\n"),
    EXCHANGE("HELLO 4", "-NOPROTO unsupported protocol version\r\n"),
    EXCHANGE("HELLO nonsense", "-ERR Protocol version is not an integer or out of range\r\n"),
    EXCHANGE("HELLO 2 BOGUS", "-ERR Syntax error in HELLO option 'BOGUS'\r\n"),
    /* what there is not */
    EXCHANGE("NONSENSE", "-ERR unknown command 'NONSENSE', with args beginning with: \r\n"),
    EXCHANGE("NONSENSE with \"two args\"",
        "-ERR unknown command 'NONSENSE', with args beginning with: 'with' 'two args' \r\n"),
    EXCHANGE("\"\" empty", "-ERR unknown command '', with args beginning with: 'empty' \r\n"),
    /* the end */
    EXCHANGE("DBSIZE", ":7\r\n"),
    EXCHANGE("DBSIZE x", "-ERR wrong number of arguments for 'dbsize' command\r\n"),
    EXCHANGE("FLUSHALL", "+OK\r\n"),
    EXCHANGE("DBSIZE", ":0\r\n"),
    EXCHANGE("GET number", "$-1\r\n"),
    EXCHANGE("FLUSHALL SYNC", "+OK\r\n"),
    EXCHANGE("FLUSHALL ASYNC", "+OK\r\n"),
    EXCHANGE("FLUSHALL BOGUS", "-ERR syntax error\r\n"),
    EXCHANGE("SCAN nonsense", "-ERR invalid cursor\r\n"),
    EXCHANGE("SCAN", "-ERR wrong number of arguments for 'scan' command\r\n"),
    EXCHANGE("SCAN 0 COUNT 0", "-ERR syntax error\r\n"),
    EXCHANGE("SCAN 0 COUNT nonsense", "-ERR value is not an integer or out of range\r\n"),
    EXCHANGE("SCAN 0 BOGUS", "-ERR syntax error\r\n"),
    EXCHANGE("QUIT", "+OK\r\n"),
};

#define EXCHANGE_COUNT (sizeof exchanges / sizeof *exchanges)

/*
 * Bytes that are no command.  After a complaint the connection is closed.
 */
struct complaint {
    const char *bytes;
    const char *reply; /* "" if it is closed without one */
    bool is_ours;      /* Redis is more tolerant, or has higher limits */
};

#define PROTOCOL_ERROR "-ERR Protocol error: "

static const struct complaint complaints[] = {
    /* a wrong type, and nesting */
    {"*1\r\n+4\r\nPING\r\n", PROTOCOL_ERROR "expected '$', got '+'\r\n", false},
    {"*1\r\n:4\r\nPING\r\n", PROTOCOL_ERROR "expected '$', got ':'\r\n", false},
    {"*1\r\n*1\r\n$4\r\nPING\r\n", PROTOCOL_ERROR "expected '$', got '*'\r\n", false},
    {"*2\r\n$4\r\nPING\r\n!\r\n", PROTOCOL_ERROR "expected '$', got '!'\r\n", false},
    /* lengths of arrays */
    {"*\r\n", PROTOCOL_ERROR "invalid multibulk length\r\n", false},
    {"*nonsense\r\n", PROTOCOL_ERROR "invalid multibulk length\r\n", false},
    {"* 1\r\n", PROTOCOL_ERROR "invalid multibulk length\r\n", false},
    {"*+1\r\n", PROTOCOL_ERROR "invalid multibulk length\r\n", false},
    {"*01\r\n", PROTOCOL_ERROR "invalid multibulk length\r\n", false},
    {"*-0\r\n", PROTOCOL_ERROR "invalid multibulk length\r\n", false},
    {"*2147483648\r\n", PROTOCOL_ERROR "invalid multibulk length\r\n", false},
    {"*99999999999999999999\r\n", PROTOCOL_ERROR "invalid multibulk length\r\n", false},
    {"*1025\r\n", PROTOCOL_ERROR "invalid multibulk length\r\n", true},
    /* lengths of bulks */
    {"*1\r\n$-1\r\n", PROTOCOL_ERROR "invalid bulk length\r\n", false},
    {"*1\r\n$-99999999999999999999\r\n", PROTOCOL_ERROR "invalid bulk length\r\n", false},
    {"*1\r\n$nonsense\r\n", PROTOCOL_ERROR "invalid bulk length\r\n", false},
    {"*1\r\n$\r\n", PROTOCOL_ERROR "invalid bulk length\r\n", false},
    {"*1\r\n$ 4\r\n", PROTOCOL_ERROR "invalid bulk length\r\n", false},
    {"*1\r\n$536870913\r\n", PROTOCOL_ERROR "invalid bulk length\r\n", false},
    {"*1\r\n$99999999999999999999\r\n", PROTOCOL_ERROR "invalid bulk length\r\n", false},
    {"*1\r\n$536870912\r\n", PROTOCOL_ERROR "invalid bulk length\r\n", true},
    {"*1\r\n$1048577\r\n", PROTOCOL_ERROR "invalid bulk length\r\n", true},
    /* line ends */
    {"*1\r\n$4\r\nPINGxx", PROTOCOL_ERROR "expected CRLF after bulk\r\n", true},
    {"*1\r\n$4\r\nPING\n\n", PROTOCOL_ERROR "expected CRLF after bulk\r\n", true},
    {"*1\n$4\nPING\n", PROTOCOL_ERROR "invalid multibulk length\r\n", true},
    {"*1\r$4\r\nPING\r\n", PROTOCOL_ERROR "invalid multibulk length\r\n", true},
    /* quotes */
    {"\"unbalanced\r\n", PROTOCOL_ERROR "unbalanced quotes in request\r\n", false},
    {"\"a\"b\r\n", PROTOCOL_ERROR "unbalanced quotes in request\r\n", false},
    {"'a'b\r\n", PROTOCOL_ERROR "unbalanced quotes in request\r\n", false},
    /* a browser that was talked into speaking to us: what it sends is not executed */
    {"POST / HTTP/1.1\r\nHost: x\r\n\r\nFLUSHALL\r\n", "", false},
    {"Host: x\r\nFLUSHALL\r\n", "", false},
};

#define COMPLAINT_COUNT (sizeof complaints / sizeof *complaints)

#endif
