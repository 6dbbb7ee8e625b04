//! The real program from outside: whole stdout, whole stderr, exit status.

#[cfg(test)]
mod commands;
#[cfg(test)]
mod support;
#[cfg(test)]
mod usage;
