//! The real program from outside: whole stdout, whole stderr, exit status.

#[cfg(test)]
mod backup;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod plugins;
#[cfg(test)]
mod status;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tasks;
#[cfg(test)]
mod unsynced;
#[cfg(test)]
mod usage;
