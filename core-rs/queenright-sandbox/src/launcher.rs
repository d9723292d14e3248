//! The launcher's loop: requests in, sandboxes out, every end reported, everything ended with the supervisor.
use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd as _, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use crate::cgroup::Group;
use crate::memory;
use crate::message::{self, Kind, MAX_PACKET, Request};
use crate::spawn::{self, Machine, Running, Whole};
use crate::stale;
use crate::step::{At, Refusal, Step};
use crate::sys;
use crate::tier::{self, Tier};

/// The control socket's number when the launcher starts.
const CONTROL: RawFd = 3;
const CONTROL_TOKEN: u64 = 0;
const PARENT_TOKEN: u64 = 1;
const FIRST_TOKEN: u64 = 2;
/// The watch's interval, in the unit of epoll_wait.
const WATCH_MS: i32 = 1000;
/// Ids of requests; the tokens of the epoll set lie above two of our own.
const MAX_ID: u64 = u64::MAX - FIRST_TOKEN;
/// How long killed sandboxes may take to be gone when the launcher ends; after that the kernel still kills them.
const LAST_WAIT: Duration = Duration::from_secs(5);
/// The same for one that has been killed because its outer process ended.
const GONE_MS: i32 = 5000;
/// What counting processes may add to a request that ends many: the end comes first, and the count is "at least".
const COUNTING: Duration = Duration::from_millis(50);

/// Why the launcher ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// The supervisor closed its socket or died.
    SupervisorGone,
}

struct Launcher {
    machine: Machine,
    control: OwnedFd,
    epoll: OwnedFd,
    running: HashMap<u64, Running>,
    /// What the socket had no room for. While anything waits here no request is read, so it grows by exits only.
    waiting: VecDeque<(Vec<u8>, Option<OwnedFd>)>,
    looked: Instant,
    /// The limit of open files this process was started with, which services get back.
    open_files: (u64, u64),
}

/// Runs until the supervisor goes away. The process must have one thread and the control socket at descriptor 3.
pub fn run(landlock_abi_cap: u32, landlock_alone: bool) -> io::Result<Ended> {
    let control = take_control()?;
    let parent = watch_parent(control.as_fd())?;
    let open_files = raise_open_files()?;
    let machine = Machine::examine(landlock_abi_cap)
        .and_then(|machine| tier::choose(machine, landlock_alone));
    let machine = match machine {
        Ok(machine) => machine,
        Err(refusal) => {
            sys::send(control.as_fd(), &message::refused(None, &refusal), None)?;
            return Ok(Ended::SupervisorGone);
        }
    };
    if machine.tier == Tier::Bwrap {
        stale::end();
    }
    let epoll = sys::epoll_create()?;
    sys::epoll_control(
        epoll.as_fd(),
        libc::EPOLL_CTL_ADD,
        control.as_fd(),
        libc::EPOLLIN,
        CONTROL_TOKEN,
    )?;
    sys::epoll_control(
        epoll.as_fd(),
        libc::EPOLL_CTL_ADD,
        parent.as_fd(),
        libc::EPOLLIN,
        PARENT_TOKEN,
    )?;
    let hello = message::Hello {
        version: env!("CARGO_PKG_VERSION"),
        landlock_abi: machine.abi,
        root: machine.root,
        memory: match (machine.groups.is_hard(), memory::can_watch()) {
            (true, _) => "hard",
            (false, true) => "soft",
            (false, false) => "none",
        },
        tier: machine.tier.name(),
        instead_of: machine.instead_of.clone(),
    };
    sys::send(control.as_fd(), &message::hello(&hello), None)?;
    let mut launcher = Launcher {
        machine,
        control,
        epoll,
        running: HashMap::new(),
        waiting: VecDeque::new(),
        looked: Instant::now(),
        open_files,
    };
    let ended = launcher.serve();
    launcher.end_all();
    ended
}

/// Moves the control socket up and fills every number a child's descriptors may be placed at, so that the launcher's
/// own never lie there.
fn take_control() -> io::Result<OwnedFd> {
    let given = sys::adopt(CONTROL)?;
    if sys::socket_type(given.as_fd())? != libc::SOCK_SEQPACKET {
        return Err(io::Error::other(
            "descriptor 3 is not a SOCK_SEQPACKET socket",
        ));
    }
    sys::close_range(CONTROL + 1, RawFd::MAX)?;
    let places = RawFd::try_from(sys::MAX_DESCRIPTORS).map_err(io::Error::other)?;
    let control = sys::duplicate_from(given.as_fd(), places)?;
    drop(given);
    let root = sys::open_path(c"/")?;
    let low = sys::openat(root.as_fd(), c"/dev/null", libc::O_RDWR, 0)?;
    let nothing = sys::duplicate_from(low.as_fd(), places)?;
    drop((root, low));
    for number in CONTROL..places {
        let filler = sys::duplicate_from(nothing.as_fd(), number)?;
        if filler.into_raw_fd() != number {
            return Err(io::Error::other(format!("descriptor {number} is in use")));
        }
    }
    sys::setsid()?;
    Ok(control)
}

/// A pidfd of the supervisor, made sure of: the process that made the socket is our parent, before and after.
fn watch_parent(control: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let parent = sys::getppid();
    if sys::peer_pid(control)? != parent {
        return Err(io::Error::other(
            "the process that made the control socket is not this one's parent",
        ));
    }
    let pidfd = sys::pidfd_open(parent)?;
    if sys::getppid() != parent {
        return Err(io::Error::other("the supervisor is gone"));
    }
    Ok(pidfd)
}

/// One pidfd, and for a command one pipe, a sandbox: as many as this user may have.
fn raise_open_files() -> io::Result<(u64, u64)> {
    let (soft, hard) = sys::rlimit(libc::RLIMIT_NOFILE)?;
    sys::set_rlimit(libc::RLIMIT_NOFILE, hard, hard)?;
    Ok((soft, hard))
}

impl Launcher {
    fn serve(&mut self) -> io::Result<Ended> {
        let mut buffer = vec![0; MAX_PACKET];
        loop {
            let watching = !self.machine.groups.is_hard() && !self.running.is_empty();
            let untidy = self.machine.groups.wait_ms();
            let wait = untidy.unwrap_or(if watching { WATCH_MS } else { -1 });
            let events = sys::epoll_wait(self.epoll.as_fd(), wait)?;
            if events.is_empty() && untidy.is_some() {
                self.machine.groups.tidy();
            }
            if watching && self.looked.elapsed() >= memory::INTERVAL {
                self.look_at_memory();
            }
            for (token, events) in events {
                match token {
                    PARENT_TOKEN => return Ok(Ended::SupervisorGone),
                    CONTROL_TOKEN
                        if events & (libc::EPOLLHUP | libc::EPOLLERR).cast_unsigned() != 0 =>
                    {
                        return Ok(Ended::SupervisorGone);
                    }
                    CONTROL_TOKEN if events & libc::EPOLLOUT.cast_unsigned() != 0 => {
                        self.flush()?
                    }
                    CONTROL_TOKEN => self.receive(&mut buffer)?,
                    token => self.ended(token - FIRST_TOKEN)?,
                }
            }
        }
    }

    /// One request. (The end of the stream is the loop's to see: here an empty packet is only not a request.)
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        let packet = match sys::receive(self.control.as_fd(), buffer) {
            Ok(packet) => packet,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        if packet.cut {
            let why = format!(
                "a packet is over {MAX_PACKET} bytes or {} descriptors",
                sys::MAX_DESCRIPTORS
            );
            return self.reply(
                message::refused(None, &Refusal::new(Step::Request, libc::EMSGSIZE, why)),
                None,
            );
        }
        match message::decode(&buffer[..packet.length]) {
            Ok(request) => self.act(request, packet.descriptors),
            Err(malformed) => self.reply(message::refused(malformed.id, &malformed.refusal), None),
        }
    }

    fn act(&mut self, request: Request, descriptors: Vec<OwnedFd>) -> io::Result<()> {
        let (id, done) = match request {
            Request::Spawn(request) => {
                let id = request.id;
                (id, self.spawn(id, *request, descriptors))
            }
            Request::Kill(id) => (id, self.kill(id).map(|()| None)),
            Request::KillMany(ids) => {
                self.kill_many(&ids);
                return Ok(());
            }
            Request::Service(request) => {
                let started = crate::service::start(&request, self.open_files);
                (
                    request.id,
                    started.map(|service| {
                        Some((
                            message::served(request.id, service.pid, service.start_time),
                            None,
                        ))
                    }),
                )
            }
        };
        match done {
            Ok(Some((bytes, descriptor))) => self.reply(bytes, descriptor),
            Ok(None) => Ok(()),
            Err(refusal) => self.reply(message::refused(Some(id), &refusal), None),
        }
    }

    fn spawn(
        &mut self,
        id: u64,
        request: message::Spawn,
        descriptors: Vec<OwnedFd>,
    ) -> Result<Option<Reply>, Refusal> {
        if id > MAX_ID || self.running.contains_key(&id) {
            return Err(Refusal::request(format!("id {id} is in use")));
        }
        let running = spawn::spawn(&self.machine, request, descriptors)?;
        let watched = sys::epoll_control(
            self.epoll.as_fd(),
            libc::EPOLL_CTL_ADD,
            running.pidfd.as_fd(),
            libc::EPOLLIN,
            id + FIRST_TOKEN,
        );
        let pidfd = watched
            .and_then(|()| first_process(&running).try_clone())
            .at(Step::Descriptors, String::new);
        let pid = running.pid;
        self.running.insert(id, running);
        match pidfd {
            Ok(pidfd) => Ok(Some((message::spawned(id, pid), Some(pidfd)))),
            Err(refusal) => {
                // Not watched, so its end would never be told: it must not run.
                if let Some(running) = self.running.remove(&id) {
                    kill_whole(&running);
                    let _ = sys::poll(running.pidfd.as_fd(), libc::POLLIN, -1);
                    let _ = sys::wait_pidfd(running.pidfd.as_fd(), false);
                }
                Err(refusal)
            }
        }
    }

    /// Its end is told by the exit event. A sandbox that has just ended is no longer known: ESRCH, as for kill(2).
    fn kill(&mut self, id: u64) -> Result<(), Refusal> {
        match self.running.get_mut(&id) {
            Some(running) => {
                running.count();
                kill_whole(running);
                Ok(())
            }
            None => Err(Refusal::new(Step::Kill, libc::ESRCH, format!("id {id}"))),
        }
    }

    fn kill_many(&mut self, ids: &[u64]) {
        let started = Instant::now();
        for id in ids {
            if let Some(running) = self.running.get_mut(id) {
                if started.elapsed() < COUNTING {
                    running.count();
                }
                kill_whole(running);
            }
        }
    }

    /// Ends every cell and command that holds more memory than its limit; its exit event says why.
    fn look_at_memory(&mut self) {
        for running in self.running.values_mut() {
            if running.kind != Kind::Executor && memory::is_over(running.pid, running.memory_bytes)
            {
                running.over = true;
                kill_whole(running);
            }
        }
        self.looked = Instant::now();
    }

    /// A sandbox's first process has ended: reap it and tell.
    fn ended(&mut self, id: u64) -> io::Result<()> {
        let Some(running) = self.running.get(&id) else {
            return Ok(());
        };
        if sys::wait_pidfd(running.pidfd.as_fd(), true)?.is_none() {
            return Ok(());
        }
        let Some(running) = self.running.remove(&id) else {
            return Ok(());
        };
        // What it left behind; its own pid is not free before it is reaped below.
        kill_whole(&running);
        // Bubblewrap's process can be killed from outside before its namespace's first: the end is told when both are gone.
        let _ = sys::poll(first_process(&running).as_fd(), libc::POLLIN, GONE_MS);
        let Some(mut end) = sys::wait_pidfd(running.pidfd.as_fd(), false)? else {
            return Ok(());
        };
        sys::epoll_control(
            self.epoll.as_fd(),
            libc::EPOLL_CTL_DEL,
            running.pidfd.as_fd(),
            0,
            0,
        )?;
        if let Some(report) = &running.report
            && let Some(reported) = crate::init::read_report(report.as_fd())
        {
            end = reported;
        } else if let (Whole::First(_), sys::End::Code(code @ 129..)) = (&running.whole, end) {
            // Bubblewrap's way of saying that its child was killed; ours there says how the program ended, or nothing.
            end = sys::End::Signal(code - 128);
        }
        let over = running.over || running.group.as_ref().is_some_and(Group::ran_out);
        self.reply(
            message::exited(id, end, over, running.processes.max(1)),
            None,
        )?;
        if let Some(group) = running.group {
            self.machine.groups.leave(group);
        }
        Ok(())
    }

    fn reply(&mut self, bytes: Vec<u8>, descriptor: Option<OwnedFd>) -> io::Result<()> {
        if self.waiting.is_empty() {
            match sys::send(
                self.control.as_fd(),
                &bytes,
                descriptor.as_ref().map(AsFd::as_fd),
            ) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()), // the loop will see it
                sent => return sent,
            }
            self.listen_for(libc::EPOLLOUT)?;
        }
        self.waiting.push_back((bytes, descriptor));
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        while let Some((bytes, descriptor)) = self.waiting.front() {
            match sys::send(
                self.control.as_fd(),
                bytes,
                descriptor.as_ref().map(AsFd::as_fd),
            ) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                sent => sent?,
            }
            self.waiting.pop_front();
        }
        self.listen_for(libc::EPOLLIN)
    }

    fn listen_for(&self, events: libc::c_int) -> io::Result<()> {
        sys::epoll_control(
            self.epoll.as_fd(),
            libc::EPOLL_CTL_MOD,
            self.control.as_fd(),
            events,
            CONTROL_TOKEN,
        )
    }

    /// Kills all and waits until they are gone, so that nothing outlives the launcher's own end.
    fn end_all(&mut self) {
        self.running.values().for_each(kill_whole);
        let started = Instant::now();
        for (_, running) in self.running.drain() {
            let left = LAST_WAIT.saturating_sub(started.elapsed());
            let left = i32::try_from(left.as_millis()).unwrap_or(i32::MAX);
            let _ = sys::poll(running.pidfd.as_fd(), libc::POLLIN, left);
            if let Some(group) = running.group {
                self.machine.groups.leave(group);
            }
        }
        self.machine.groups.remove();
    }
}

type Reply = (Vec<u8>, Option<OwnedFd>);

/// The process whose end is the sandbox's.
fn first_process(running: &Running) -> &OwnedFd {
    match &running.whole {
        Whole::First(first) => first,
        Whole::Namespace | Whole::Group => &running.pidfd,
    }
}

/// A namespace ends with its first process; a group on the host is ended by its number, which is its leader's.
fn kill_whole(running: &Running) {
    // Already ended is what is wanted.
    let _ = sys::pidfd_kill(first_process(running).as_fd(), libc::SIGKILL);
    if matches!(running.whole, Whole::Group) {
        let _ = sys::kill(-running.pid, libc::SIGKILL);
    }
}
