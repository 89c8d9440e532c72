"""What each server does: run services, keep ownership, mount volumes, report health."""
