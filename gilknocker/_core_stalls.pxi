# The part of _core.pyx that is about stalls.

def name_thread(ident: int, native_id: int, name: str) -> None:
    """Let whoever tells of stalls know what a thread is called; its native id is 0 if not known."""
    cdef bytes text = name.encode("utf-8", "replace")
    KnownNames.instance().add(ident, native_id, string_view(<const char*>text, len(text)))


def forget_names() -> None:
    """In a forked child: whoever named a thread in the parent may have been at it."""
    KnownNames.instance().begin_anew()


def note_collection(phase, info) -> None:
    """Note that the garbage collector is at work, or has done: one of ``gc.callbacks``."""
    OwnSurroundings.set_collecting(info["generation"] if phase == "start" else -1)
