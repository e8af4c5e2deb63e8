"""A page for a browser: edits and drags by clicking, and a look at trainings.

It calls the public API only, as anyone's program could, and shows the lines that repeat what was
clicked. Gradio is the optional extra ``app``.
"""
