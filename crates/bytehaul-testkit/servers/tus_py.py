"""A second tus 1.0 server: tuspyserver on uvicorn, in the directory where it is started.

    python tus_py.py PORT
"""

import sys

import uvicorn
from fastapi import FastAPI
from tuspyserver import create_tus_router

application = FastAPI()
application.include_router(create_tus_router(prefix="files", files_dir="uploads", max_size=1 << 30, days_to_keep=1))
uvicorn.run(application, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
