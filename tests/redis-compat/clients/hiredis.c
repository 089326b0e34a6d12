// Debian's libhiredis against a server: replies of each kind, pipelines, wrong input. Arguments: port.
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(const char *what, int right)
{
    if (!right) {
        fprintf(stderr, "failed: %s\n", what);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    struct timeval limit = { 60, 0 };
    redisContext *c = redisConnectWithTimeout("127.0.0.1", argc > 1 ? atoi(argv[1]) : 6379, limit);
    check("connect", c != NULL && !c->err);
    redisReply *r = redisCommand(c, "FLUSHALL");
    check("status", r->type == REDIS_REPLY_STATUS && strcmp(r->str, "OK") == 0);
    freeReplyObject(r);

    char bytes[10240];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (char)i;
    freeReplyObject(redisCommand(c, "SET %s %b", "bin", bytes, sizeof bytes));
    r = redisCommand(c, "GET bin");
    check("bytes", r->type == REDIS_REPLY_STRING && (size_t)r->len == sizeof bytes && memcmp(r->str, bytes, sizeof bytes) == 0);
    freeReplyObject(r);
    r = redisCommand(c, "GET none");
    check("nil", r->type == REDIS_REPLY_NIL);
    freeReplyObject(r);
    r = redisCommand(c, "INCRBY n %d", 41);
    check("integer", r->type == REDIS_REPLY_INTEGER && r->integer == 41);
    freeReplyObject(r);
    r = redisCommand(c, "LPUSH n x");
    check("error", r->type == REDIS_REPLY_ERROR && strncmp(r->str, "WRONGTYPE", 9) == 0);
    freeReplyObject(r);

    for (int i = 0; i < 10000; i++) redisAppendCommand(c, "RPUSH l %d", i);
    for (int i = 0; i < 10000; i++) {
        check("pipeline", redisGetReply(c, (void **)&r) == REDIS_OK && r->integer == i + 1);
        freeReplyObject(r);
    }
    r = redisCommand(c, "LRANGE l 0 -1");
    check("array", r->type == REDIS_REPLY_ARRAY && r->elements == 10000 && strcmp(r->element[9999]->str, "9999") == 0);
    freeReplyObject(r);

    freeReplyObject(redisCommand(c, "MULTI"));
    freeReplyObject(redisCommand(c, "INCR n"));
    freeReplyObject(redisCommand(c, "GET none"));
    r = redisCommand(c, "EXEC");
    check("transaction", r->elements == 2 && r->element[0]->integer == 42 && r->element[1]->type == REDIS_REPLY_NIL);
    freeReplyObject(r);
    r = redisCommand(c, "SUBSCRIBE news");
    check("subscribe", r->elements == 3 && r->element[2]->integer == 1);
    freeReplyObject(r);
    redisFree(c);
    puts("ok");
    return 0;
}
