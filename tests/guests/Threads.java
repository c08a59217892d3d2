import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.Executors;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.BooleanSupplier;

/**
 * Guest: a Java virtual machine, with its own threads for compiling and collecting, and
 * the program's: counters under a monitor, a pool, a timer, and the reader of commands.
 */
public final class Threads {
    private static final int COUNTERS = 3;
    private static final int WORKERS = 4;
    private static final long PATIENCE_MS = 15_000;

    private static final Object monitor = new Object();
    private static long counted;
    private static final AtomicLong countedToo = new AtomicLong();
    private static final AtomicLong ticks = new AtomicLong();
    private static volatile boolean stop;
    private static final List<String> marks = new ArrayList<>();

    public static void main(String[] arguments) throws Exception {
        List<Thread> counters = new ArrayList<>();
        for (int index = 0; index < COUNTERS; index++) {
            Thread counter = new Thread(Threads::count, "counter-" + index);
            counter.start();
            counters.add(counter);
        }
        ExecutorService pool = Executors.newFixedThreadPool(WORKERS);
        ScheduledExecutorService timer = Executors.newScheduledThreadPool(1);
        timer.scheduleWithFixedDelay(ticks::incrementAndGet, 0, 3, TimeUnit.MILLISECONDS);
        say("ready");
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            say(obey(line.split(" "), pool));
        }
        stop = true;
        for (Thread counter : counters) {
            counter.join();
        }
        for (ExecutorService service : List.of(pool, timer)) {
            service.shutdownNow();
            service.awaitTermination(PATIENCE_MS, TimeUnit.MILLISECONDS);
        }
        say("end " + (counted - countedToo.get()) + " " + String.join(",", marks));
        System.exit(8);
    }

    private static void say(String line) {
        System.out.println(line);
        System.out.flush();
    }

    /** Two counters that must agree, and some garbage for the collector. */
    private static void count() {
        byte[][] garbage = new byte[64][];
        for (int round = 0; !stop; round++) {
            garbage[round % garbage.length] = new byte[4096];
            synchronized (monitor) {
                counted++;
                countedToo.incrementAndGet();
            }
            if (round % 64 == 0) {
                try {
                    Thread.sleep(1);
                } catch (InterruptedException interrupted) {
                    return;
                }
            }
        }
    }

    private static long counted() {
        synchronized (monitor) {
            return counted;
        }
    }

    private static String obey(String[] words, ExecutorService pool) throws Exception {
        switch (words[0]) {
            case "mark":
                marks.add(words[1]);
                return "ok";
            case "marks":
                return "ok " + String.join(" ", marks);
            case "advance": {
                long enough = counted() + 1000;
                long ticked = ticks.get() + 5;
                return until(() -> counted() >= enough && ticks.get() >= ticked);
            }
            case "workers": {
                // Each blocks its thread until all have come.
                CyclicBarrier barrier = new CyclicBarrier(WORKERS);
                CountDownLatch all = new CountDownLatch(WORKERS);
                for (int index = 0; index < WORKERS; index++) {
                    pool.execute(() -> {
                        try {
                            barrier.await();
                            all.countDown();
                        } catch (Exception broken) {
                            throw new IllegalStateException(broken);
                        }
                    });
                }
                boolean came = all.await(PATIENCE_MS, TimeUnit.MILLISECONDS);
                return came ? "ok" : "err a worker is missing";
            }
            case "collect":
                System.gc();
                return "ok";
            case "halt":
                pool.execute(() -> Runtime.getRuntime().halt(9));
                return until(() -> false);
            default:
                return "err unknown command " + words[0];
        }
    }

    private static String until(BooleanSupplier condition) throws InterruptedException {
        long deadline = System.nanoTime() + PATIENCE_MS * 1_000_000;
        while (!condition.getAsBoolean()) {
            if (System.nanoTime() > deadline) {
                return "err it never happened";
            }
            Thread.sleep(1);
        }
        return "ok";
    }
}
