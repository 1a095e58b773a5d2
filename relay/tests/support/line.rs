//! A line that is slow, or goes dead without a word: nothing passes, and neither end is told.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// A TCP port whose connections lead to another one.
pub(crate) struct Line {
    pub(crate) port: u16,
    dead: Arc<AtomicBool>,
}

impl Line {
    /// A line that carries what it is given at once.
    pub(crate) fn to(port: u16) -> Line {
        Line::slow(port, u64::MAX)
    }

    /// A line that carries so many bytes per second each way, and holds whatever more it is given.
    pub(crate) fn slow(port: u16, bytes_per_second: u64) -> Line {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (near, dead) = (listener.local_addr().unwrap().port(), Arc::<AtomicBool>::default());
        let state = Arc::clone(&dead);
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Ok(far) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let state = Arc::clone(&state);
                    thread::spawn(move || pass(from, to, &state, bytes_per_second));
                }
            }
        });
        Line { port: near, dead }
    }

    pub(crate) fn cut(&self) {
        self.dead.store(true, Ordering::Relaxed);
    }

    pub(crate) fn mend(&self) {
        self.dead.store(false, Ordering::Relaxed);
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, dead: &AtomicBool, bytes_per_second: u64) {
    let mut buffer = [0; 4 << 10];
    // When the line has carried all that was read so far.
    let mut free = Instant::now();
    loop {
        let read = from.read(&mut buffer).unwrap_or(0);
        free = free.max(Instant::now()) + Duration::from_nanos(read as u64 * 1_000_000_000 / bytes_per_second);
        thread::sleep(free.saturating_duration_since(Instant::now()));
        while dead.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(5));
        }
        if read == 0 || to.write_all(&buffer[..read]).is_err() {
            to.shutdown(Shutdown::Both).ok();
            return;
        }
    }
}
