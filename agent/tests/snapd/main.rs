//! The real `snapd`, from outside: its arguments, its files, its signals and its socket.

#[cfg(test)]
mod api;
#[cfg(test)]
mod config;
#[cfg(test)]
mod dev;
#[cfg(test)]
mod exposure;
#[cfg(test)]
mod keygen;
#[cfg(test)]
mod life;
#[cfg(test)]
mod plugins;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tasks;
