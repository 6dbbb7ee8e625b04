//! Whose plugins are run.

/// What is asked of a plugin before it is started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum TrustLevel {
    /// Nothing.
    #[default]
    Off,
    /// A signature, if there is one, must be good.
    Warn,
    /// There must be a good signature.
    On,
}

impl TrustLevel {
    /// The level of this name.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Off, Self::Warn, Self::On].into_iter().find(|level| level.as_str() == text)
    }

    /// The level as text.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Warn => "warn",
            Self::On => "on",
        }
    }
}
