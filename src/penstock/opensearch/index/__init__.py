"""An index as a thing that is made, compared with its definition, and checked."""
