//! Who may be repaired, and what goes whatever the cut.
