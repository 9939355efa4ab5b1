# Import targets for LibTorch from its pip wheel (or from a LibTorch of the user's on CMAKE_PREFIX_PATH).
# The wheel's own TorchConfig.cmake asks for a CUDA toolkit, which neither building nor running needs.
# Only torch_cpu and c10 are linked; libtorch_cuda.so is loaded at run time where there is a driver.
#
# Defines: LibTorch::LibTorch, HEADSCOPE_LIBTORCH_DIR (the folder that holds lib/ and include/)

if(NOT HEADSCOPE_LIBTORCH_CACHE)
  if(DEFINED ENV{HEADSCOPE_LIBTORCH})
    set(HEADSCOPE_LIBTORCH_CACHE "$ENV{HEADSCOPE_LIBTORCH}")
  elseif(DEFINED ENV{XDG_CACHE_HOME} AND NOT "$ENV{XDG_CACHE_HOME}" STREQUAL "")
    set(HEADSCOPE_LIBTORCH_CACHE "$ENV{XDG_CACHE_HOME}/headscope/libtorch-2.11.0")
  else()
    set(HEADSCOPE_LIBTORCH_CACHE "$ENV{HOME}/.cache/headscope/libtorch-2.11.0")
  endif()
endif()

# find_path looks in CMAKE_PREFIX_PATH before HINTS, so the user's own LibTorch wins.
find_path(HEADSCOPE_TORCH_INCLUDE ATen/core/Tensor.h
  PATH_SUFFIXES include torch/include
  HINTS "${HEADSCOPE_LIBTORCH_CACHE}"
  NO_CMAKE_SYSTEM_PATH NO_SYSTEM_ENVIRONMENT_PATH)
if(NOT HEADSCOPE_TORCH_INCLUDE)
  message(FATAL_ERROR "LibTorch was not found. Run resources/setup/libtorch.py, which brings the pinned "
    "version, or give the folder of yours with -DCMAKE_PREFIX_PATH=.")
endif()
cmake_path(GET HEADSCOPE_TORCH_INCLUDE PARENT_PATH HEADSCOPE_LIBTORCH_DIR)
set(HEADSCOPE_TORCH_LIB "${HEADSCOPE_LIBTORCH_DIR}/lib")
file(GLOB HEADSCOPE_NVIDIA_LIBS LIST_DIRECTORIES true
  "${HEADSCOPE_LIBTORCH_DIR}/../nvidia/*/lib")

add_library(LibTorch::c10 SHARED IMPORTED)
set_target_properties(LibTorch::c10 PROPERTIES IMPORTED_LOCATION "${HEADSCOPE_TORCH_LIB}/libc10.so")
add_library(LibTorch::torch_cpu SHARED IMPORTED)
set_target_properties(LibTorch::torch_cpu PROPERTIES IMPORTED_LOCATION "${HEADSCOPE_TORCH_LIB}/libtorch_cpu.so")

add_library(LibTorch::LibTorch INTERFACE IMPORTED)
target_include_directories(LibTorch::LibTorch SYSTEM INTERFACE
  "${HEADSCOPE_TORCH_INCLUDE}" "${HEADSCOPE_TORCH_INCLUDE}/torch/csrc/api/include")
target_link_libraries(LibTorch::LibTorch INTERFACE LibTorch::torch_cpu LibTorch::c10)

# libtorch_cpu.so finds its neighbours by run path; ld needs to be told where they are to check symbols.
set(HEADSCOPE_RUN_PATH "${HEADSCOPE_TORCH_LIB}" ${HEADSCOPE_NVIDIA_LIBS})
foreach(folder IN LISTS HEADSCOPE_RUN_PATH)
  target_link_options(LibTorch::LibTorch INTERFACE "LINKER:-rpath-link,${folder}")
endforeach()
