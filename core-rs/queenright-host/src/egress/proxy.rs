//! The proxy: its thread, its doors and what is open behind each.
use std::collections::HashMap;
use std::io;
use std::net::TcpListener as StdListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};

use super::event::{Answer, Event, Queue};
use super::exchange;
use super::resolve::Resolve;

/// How much of everything one command, and all together, may hold.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Connections of one door that are served at once; the next wait in the kernel.
    pub per_door: usize,
    pub in_all: usize,
    /// Names that one door has resolved at once. A thread each: below a resolver that hangs, others still have theirs.
    pub resolving: usize,
    /// A whole head, from the moment of the connection.
    pub head: Duration,
    /// The supervisor's answer; without one the request is refused.
    pub answer: Duration,
    /// Resolving, and dialling.
    pub reach: Duration,
    /// Between two bytes of a body or a tunnel, and until the upstream answers.
    pub idle: Duration,
    /// Bytes of one exchange, each way.
    pub bytes: u64,
    /// Bytes of a body that a person is asked about.
    pub held: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            per_door: 64,
            in_all: 1024,
            resolving: 4,
            head: Duration::from_secs(10),
            answer: Duration::from_secs(30),
            reach: Duration::from_secs(10),
            idle: Duration::from_secs(120),
            bytes: 8 << 30,
            held: 64 << 10,
        }
    }
}

pub(super) struct Open {
    pub door: u64,
    pub answers: mpsc::Sender<Answer>,
    pub cut: Arc<Notify>,
}

struct Door {
    closed: Arc<Notify>,
}

#[derive(Default)]
struct Table {
    last: u64,
    doors: HashMap<u64, Door>,
    open: HashMap<u64, Open>,
}

pub(super) struct Shared {
    pub bounds: Bounds,
    pub queue: Queue,
    pub resolver: Arc<dyn Resolve>,
    all: Arc<Semaphore>,
    table: Mutex<Table>,
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number for a new connection; None once its door is closed.
    fn opened(&self, door: u64) -> Option<(u64, mpsc::Receiver<Answer>, Arc<Notify>)> {
        let mut table = self.table();
        if !table.doors.contains_key(&door) {
            return None;
        }
        table.last += 1;
        let id = table.last;
        // One answer is waited for at a time.
        let (answers, receiver) = mpsc::channel(1);
        let cut = Arc::new(Notify::new());
        let open = Open {
            door,
            answers,
            cut: cut.clone(),
        };
        table.open.insert(id, open);
        Some((id, receiver, cut))
    }

    fn ended(&self, id: u64) {
        self.table().open.remove(&id);
    }
}

/// Owns the thread; it ends, with every connection, when this is dropped.
pub struct Proxy {
    shared: Arc<Shared>,
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    pub fn start(bounds: Bounds, resolver: Arc<dyn Resolve>) -> io::Result<Self> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(64)
            .build()?;
        let shared = Arc::new(Shared {
            bounds,
            queue: Queue::new()?,
            resolver,
            all: Arc::new(Semaphore::new(bounds.in_all)),
            table: Mutex::default(),
        });
        let (stop, stopped) = oneshot::channel();
        let handle = runtime.handle().clone();
        let thread = std::thread::Builder::new()
            .name("egress".into())
            .spawn(move || {
                // Dropping the sender stops it as well.
                let _ = runtime.block_on(stopped);
                runtime.shutdown_background();
            })?;
        Ok(Self {
            shared,
            handle,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Readable while [`Proxy::take`] has something to give.
    pub fn events(&self) -> BorrowedFd<'_> {
        self.shared.queue.as_fd()
    }

    pub fn take(&self) -> Vec<Event> {
        self.shared.queue.take()
    }

    /// Serves a listening socket until its door is closed.
    pub fn listen(&self, listener: OwnedFd) -> io::Result<u64> {
        let listener = StdListener::from(listener);
        // Fails for what is no socket of a network.
        listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let closed = Arc::new(Notify::new());
        let door = {
            let mut table = self.shared.table();
            table.last += 1;
            let door = table.last;
            let one = Door {
                closed: closed.clone(),
            };
            table.doors.insert(door, one);
            door
        };
        let shared = self.shared.clone();
        self.handle.spawn(async move {
            tokio::select! {
                () = closed.notified() => {}
                () = serve(shared, door, listener) => {}
            }
        });
        Ok(door)
    }

    /// Answers an event; nothing happens if its exchange has ended meanwhile.
    pub fn answer(&self, id: u64, answer: Answer) {
        let answers = self
            .shared
            .table()
            .open
            .get(&id)
            .map(|open| open.answers.clone());
        if let Some(answers) = answers {
            // There is room, for there is one answer to one event; a second one to the same is nobody's.
            let _ = answers.try_send(answer);
        }
    }

    /// Accepts nothing more at this door and cuts what is open behind it. Each exchange still has its end.
    pub fn close(&self, door: u64) {
        let mut table = self.shared.table();
        if let Some(door) = table.doors.remove(&door) {
            door.closed.notify_one();
        }
        for open in table.open.values().filter(|open| open.door == door) {
            open.cut.notify_one();
        }
    }

    /// Cuts one exchange.
    pub fn cut(&self, id: u64) {
        if let Some(open) = self.shared.table().open.get(&id) {
            open.cut.notify_one();
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It waits for nothing but what was dropped above.
            let _ = thread.join();
        }
    }
}

/// Pause when the machine has no descriptor left; the connection waits in the kernel meanwhile.
const SHORT_OF: Duration = Duration::from_millis(100);

async fn serve(shared: Arc<Shared>, door: u64, listener: StdListener) {
    let Ok(listener) = TcpListener::from_std(listener) else {
        shared.queue.refused(door, "the door could not be served");
        return;
    };
    let mine = Arc::new(Semaphore::new(shared.bounds.per_door));
    let resolving = Arc::new(Semaphore::new(shared.bounds.resolving));
    loop {
        let Ok(own) = mine.clone().acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(_) => {
                tokio::time::sleep(SHORT_OF).await;
                continue;
            }
        };
        let Ok(common) = shared.all.clone().acquire_owned().await else {
            return;
        };
        let Some((id, answers, cut)) = shared.opened(door) else {
            return;
        };
        let (shared, resolving) = (shared.clone(), resolving.clone());
        tokio::spawn(async move {
            let _places = (own, common);
            exchange::run(&shared, id, door, stream, answers, &cut, resolving).await;
            shared.ended(id);
        });
    }
}
