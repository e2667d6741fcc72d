//! Interactions and items: raw formats, schema, filters, splits, the demo catalogue.
