//! The scripted server, seen over a plain socket.

mod answers;
mod faults;
mod wire;
