"""tuspyserver, somebody else's tus server, for `uvicorn --factory tuspy_app:make`; files go where TUSPY_FILES says."""

import os

from fastapi import FastAPI
from tuspyserver import create_tus_router


def make():
    app = FastAPI()
    app.include_router(create_tus_router(
        prefix="files", files_dir=os.environ["TUSPY_FILES"], max_size=64 << 20, days_to_keep=30,
        strict_offset_validation=True))
    return app
