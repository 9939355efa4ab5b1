# Fails when a file includes what its room may not see. Run as
#   cmake -DROOT=<source folder> -P check_layers.cmake
# Data flows one way: file → model → capture → maps and analysis → masks → export; the core knows no Qt, and LibTorch stays
# inside the model room, the GPU room and what the analysis does on a device.

cmake_minimum_required(VERSION 3.25)

set(qt "[<\"]Q[A-Z]|[<\"]Qt|[<\"]qcustomplot")
set(torch "[<\"]torch/|[<\"]ATen/|[<\"]c10/")

# forbid(ROOM PATTERN EXCEPT): no source in ROOM includes something that matches PATTERN, but for files that match EXCEPT.
function(forbid room pattern except)
  file(GLOB_RECURSE files "${ROOT}/${room}/*.h" "${ROOT}/${room}/*.cpp" "${ROOT}/${room}/*.inl")
  foreach(file IN LISTS files)
    file(RELATIVE_PATH name "${ROOT}" "${file}")
    if(NOT except STREQUAL "" AND name MATCHES "${except}")
      continue()
    endif()
    file(STRINGS "${file}" hits REGEX "^[ \t]*#[ \t]*include[ \t]*.*(${pattern})")
    foreach(hit IN LISTS hits)
      message(SEND_ERROR "${name} may not have: ${hit}")
    endforeach()
  endforeach()
endfunction()

# What each room of the core may include, besides itself.
set(rooms base files gpu rope tokenizer capture model maps analysis masks export)
set(may_base "")
set(may_files base)
set(may_gpu base files)
set(may_rope base files)
set(may_tokenizer base files)
set(may_capture base files rope)
set(may_model base gpu files rope capture)
set(may_maps base gpu files rope capture)
set(may_analysis base gpu files rope capture maps)
set(may_masks base files)
set(may_export base files rope tokenizer capture model maps analysis masks)

foreach(room IN LISTS rooms)
  set(closed ${rooms})
  list(REMOVE_ITEM closed ${room} ${may_${room}})
  if(closed)
    list(JOIN closed "|" closed)
    forbid(core/${room} "[<\"]core/(${closed})/" "")
  endif()
  # The inside of a room is its own matter.
  set(others ${rooms})
  list(REMOVE_ITEM others ${room})
  list(JOIN others "|" others)
  forbid(core/${room} "[<\"]core/(${others})/(detail|device|formats)/" "")
endforeach()

# A folder of the core that is none of the rooms would go unchecked.
file(GLOB folders LIST_DIRECTORIES true "${ROOT}/core/*")
foreach(folder IN LISTS folders)
  cmake_path(GET folder FILENAME name)
  if(IS_DIRECTORY "${folder}" AND NOT name IN_LIST rooms)
    message(SEND_ERROR "core/${name} is no room that this check knows")
  endif()
endforeach()

forbid(core "${qt}|[<\"]ui/|[<\"]app/" "")
forbid(core "${torch}" "^core/model/([^/]*\\.cpp$|detail/)|^core/(gpu|analysis/device)/[^/]*\\.cpp$")
forbid(ui "${torch}|[<\"]app/|[<\"]core/[a-z]+/(detail|device|formats)/" "")
forbid(app "${torch}|[<\"]core/[a-z]+/(detail|device|formats)/" "")
forbid(app/cli "${qt}|[<\"]ui/" "")
forbid(app/window "[<\"]app/cli/" "")
