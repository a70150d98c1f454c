/* SPDX-License-Identifier: MIT */
/*
 * A threaded server under load: server WORKERS CLIENTS REQUESTS. WORKERS threads accept connections on loopback; a child
 * with CLIENTS threads makes REQUESTS connections each. A request is one letter, what the server does for it is answered
 * with the next one: a fork, a spawn, a shell, a thread, or nothing. Prints how many were served.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST 64

extern char **environ;
static int listener;
static struct sockaddr_in address;
static int requests;
static atomic_int served;

static void fail(const char *what)
{
    perror(what);
    _exit(1);
}

static int ended_well(pid_t pid)
{
    int status;

    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static int by_fork(void)
{
    pid_t pid = fork();

    if (pid == 0)
        _exit(0);
    return ended_well(pid);
}

static int by_spawn(void)
{
    char *argv[] = {"true", NULL};
    pid_t pid;

    return posix_spawn(&pid, "/bin/true", NULL, NULL, argv, environ) == 0 && ended_well(pid);
}

static void *nothing(void *unused)
{
    return unused;
}

static int by_thread(void)
{
    pthread_t thread;

    return pthread_create(&thread, NULL, nothing, NULL) == 0 && pthread_join(thread, NULL) == 0;
}

static int serve(char request)
{
    switch (request) {
    case 'f':
        return by_fork();
    case 's':
        return by_spawn();
    case 'c':
        return system("exit 0") == 0;
    case 't':
        return by_thread();
    default:
        return request == 'n';
    }
}

static void *work(void *unused)
{
    for (;;) {
        int connection = accept(listener, NULL, NULL);
        char request = '\0', answer;

        if (connection < 0 || read(connection, &request, 1) != 1)
            fail("server");
        if (request == 'q') {
            close(connection);
            return unused;
        }
        answer = serve(request) ? (char)(request + 1) : '!';
        if (answer != '!')
            served++;
        if (write(connection, &answer, 1) != 1)
            fail("server: answer");
        close(connection);
    }
}

static char ask(char request)
{
    int connection = socket(AF_INET, SOCK_STREAM, 0);
    char answer = '?';

    if (connection < 0 || connect(connection, (struct sockaddr *)&address, sizeof address) != 0 ||
        write(connection, &request, 1) != 1)
        fail("client");
    if (read(connection, &answer, 1) < 0)
        fail("client: answer");
    close(connection);
    return answer;
}

static void *request_often(void *unused)
{
    for (int i = 0; i < requests; i++) {
        char request = "fsctn"[i % 5];
        char answer = ask(request);

        if (answer != request + 1) {
            fprintf(stderr, "client: %c was answered with %c\n", request, answer);
            _exit(2);
        }
    }
    return unused;
}

static void start(pthread_t *threads, int count, void *(*function)(void *))
{
    for (int i = 0; i < count; i++)
        if (pthread_create(&threads[i], NULL, function, NULL) != 0)
            fail("pthread_create");
}

static void join(pthread_t *threads, int count)
{
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}

int main(int argc, char **argv)
{
    socklen_t size = sizeof address;
    pthread_t threads[MOST];
    int workers, clients, status;
    pid_t load;

    if (argc != 4 || (workers = atoi(argv[1])) > MOST || (clients = atoi(argv[2])) > MOST)
        return 2;
    requests = atoi(argv[3]);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 128) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &size) != 0)
        fail("listen");
    load = fork();
    if (load == 0) {
        start(threads, clients, request_often);
        join(threads, clients);
        _exit(0);
    }
    start(threads, workers, work);
    if (waitpid(load, &status, 0) != load || status != 0)
        return 1;
    for (int i = 0; i < workers; i++)
        ask('q');
    join(threads, workers);
    printf("served %d\n", served);
    return 0;
}
