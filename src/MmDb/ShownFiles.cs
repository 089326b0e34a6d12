using System.Collections.Concurrent;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Versions;
using Leither.MmDb.Versions.Tree;

namespace Leither.MmDb;

/// <summary>Finds what a host's name shows (<see cref="HostNames"/>): the files of the released version, or of the newest where none is released.</summary>
/// <param name="server">Where the MiMei are.</param>
public sealed class ShownFiles(Server server)
{
    /// <summary>What was found out of a version lasts, since that never changes.</summary>
    private readonly ConcurrentDictionary<LeitherId, (Cid Version, Cid Root)> _known = new();

    /// <summary>Whether a host's name is one of these. (Any thread.)</summary>
    public bool Has(string host) => server.Hosts.TryFind(host, out _);

    /// <summary>The root of the files that a host shows. (Any thread but the loop's.)</summary>
    /// <exception cref="MimeiException">Nothing is shown there, or not to everybody.</exception>
    /// <exception cref="IOException">A block cannot be read.</exception>
    public Task<Cid> FindAsync(string host)
    {
        var found = new TaskCompletionSource<Cid>(TaskCreationOptions.RunContinuationsAsynchronously);
        if (server.Hosts.TryFind(host, out LeitherId mid) && server.Post is { } post)
        {
            post(() => Find(host, mid, found));
        }
        else
        {
            found.SetException(new MimeiException($"ERR the host {host} shows no MiMei; MIMEI DOMAIN SET makes it"));
        }

        return found.Task;
    }

    private void Find(string host, LeitherId mid, TaskCompletionSource<Cid> found)
    {
        if (!server.Mimeis.TryFind(mid, out MimeiEntry? entry))
        {
            found.SetException(new MimeiException($"ERR the MiMei {mid} that {host} shows is not on this node; MIMEI SYNC {mid} brings it here"));
            return;
        }

        if (!entry.Rights.IsPublic)
        {
            found.SetException(new MimeiException($"NOPERM not everyone may read the MiMei that {host} shows; MIMEI PUBLISH {mid} allows it"));
            return;
        }

        server.Mimeis.Load(entry, default, (mimei, problem) =>
        {
            if (mimei?.Versions is not { } versions)
            {
                found.SetException(problem ?? new IOException("this server keeps no files"));
                return;
            }

            mimei.Hold();
            server.RunAside(
                () =>
                {
                    using IDisposable job = versions.BeginJob();
                    return Root(host, mid, versions);
                },
                (root, failure) =>
                {
                    mimei.Release();
                    if (failure is null)
                    {
                        found.SetResult(root);
                    }
                    else
                    {
                        found.SetException(failure);
                    }
                });
        });
    }

    private Cid Root(string host, LeitherId mid, Versioner versions)
    {
        ulong number = versions.List.Released is > 0 and var released ? released : versions.List.Last.Number;
        if (number == 0)
        {
            throw new MimeiException($"ERR the MiMei {mid} that {host} shows has no version yet; MIMEI BACKUP makes one");
        }

        Cid version = versions.List.Find(number);
        if (_known.TryGetValue(mid, out (Cid Version, Cid Root) known) && known.Version == version)
        {
            return known.Root;
        }

        Cid root = StateRoot.Read(new NodeStore(versions.Blocks), versions.Read(number).State).Files;
        if (root.IsNone)
        {
            throw new MimeiException($"ERR version {number} of the MiMei {mid} that {host} shows holds no files");
        }

        _known[mid] = (version, root);
        return root;
    }
}
