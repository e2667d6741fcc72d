//! Item-text, item-item and user-item pairs for phase 1.
