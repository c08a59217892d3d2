"""Guest: two loops of asyncio's, each in a thread. The busy one has timers, an echo server,
calls from another thread, which wake it through a pair of sockets of its own, and a pair
of sockets to talk to; the quiet one has calls alone, so that nothing else ends its sleep."""

import asyncio
import os
import socket
import threading

import ledger


async def tick(timer):
    while True:
        await asyncio.sleep(ledger.PERIODS[timer])
        ledger.tick(timer)


async def serve(reader, writer):
    try:
        while data := await reader.read(256):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    writer.close()


async def answer_by_socket(theirs):
    reader, writer = await asyncio.open_unix_connection(sock=theirs)
    inbox = ledger.Inbox()
    data = b""
    while more := await reader.read(256):
        back, data = ledger.answers(inbox, data + more)
        writer.write(back)
        await writer.drain()


def caller(loop):
    """A sender whose messages are calls in the loop."""
    inbox = ledger.Inbox()

    def receive(message, answers):
        answers.put(inbox.receive(message))

    receive = ledger.guard(receive)
    return ledger.sender_by_queue(
        lambda message, answers: loop.call_soon_threadsafe(receive, message, answers)
    )


def start():
    """A loop in a thread; what it raises in a task ends the program."""
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda _, context: ledger.broken(context))
    thread = threading.Thread(target=ledger.guard(loop.run_forever))
    thread.start()
    return loop, thread


def run(loop, task):
    return asyncio.run_coroutine_threadsafe(task, loop).result(ledger.PATIENCE)


async def spawn(tasks, task):
    tasks.append(asyncio.create_task(task))


async def cancel(tasks):
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


busy, busy_thread = start()
quiet, quiet_thread = start()
server = run(busy, asyncio.start_server(serve, "127.0.0.1", 0))
ours, theirs = socket.socketpair()
tasks = []
for timer in range(len(ledger.PERIODS)):
    run(busy, spawn(tasks, tick(timer)))
run(busy, spawn(tasks, answer_by_socket(theirs)))
senders = [caller(busy), caller(quiet), ledger.sender_by_socket(ours)]

port = server.sockets[0].getsockname()[1]
ledger.obey(port, lambda: busy.call_soon_threadsafe(os.abort))
ledger.end(senders)
run(busy, cancel(tasks))
for loop, thread in [(busy, busy_thread), (quiet, quiet_thread)]:
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
