//! A line that can go dead without a word: nothing passes, and neither end is told.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// A TCP port whose connections lead to another one.
pub(crate) struct Line {
    pub(crate) port: u16,
    dead: Arc<AtomicBool>,
}

impl Line {
    pub(crate) fn to(port: u16) -> Line {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (near, dead) = (listener.local_addr().unwrap().port(), Arc::<AtomicBool>::default());
        let state = Arc::clone(&dead);
        thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let Ok(far) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let state = Arc::clone(&state);
                    thread::spawn(move || pass(from, to, &state));
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

fn pass(mut from: TcpStream, mut to: TcpStream, dead: &AtomicBool) {
    let mut buffer = [0; 16 << 10];
    loop {
        let read = from.read(&mut buffer).unwrap_or(0);
        while dead.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(5));
        }
        if read == 0 || to.write_all(&buffer[..read]).is_err() {
            to.shutdown(Shutdown::Both).ok();
            return;
        }
    }
}
