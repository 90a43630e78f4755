"""Ground floor: records, journals and sidecars, read whole or refused in one line, written whole or not at all."""
