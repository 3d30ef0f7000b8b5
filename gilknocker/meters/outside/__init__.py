"""Another process's GIL, from outside: nothing is injected, nothing is stopped.

`process` is what /proc says of it, `elf` where its files keep names, `layouts` where each Python
keeps what is read; `target` finds and proves it, `watch` looks at it as a meter does.
"""
